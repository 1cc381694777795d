"""What a generation leaves behind that still holds one of its listeners: the kernel would go on accepting for it, and
nobody answer.

A worker's child that Python has forked closes them; one that a C library has forked has them all. What is in the group
of the master ends with it; what has left the group is found here: descendants of this process, of no generation that
lives, that run as the release's user and have the very socket open. Those of a supervisor before this one are nobody's
descendants any more; they are known by the environment that they have from their master. Nothing else is touched: who
holds no listener may outlive its generation.

A process can write into its own environment. So what is there spares a descendant of ours only while the generation
that it names lives: in the end all of them are found.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress

from releve.config.frozen import dataclass
from releve.config.grammar import counted
from releve.instance.holders import descriptors
from releve.supervisor.host import children, evidence, proc, system
from releve.supervisor.host.environment import GENERATION_VARIABLE
from releve.supervisor.host.readable import readable
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.reporting.log import log

TERM_S = 2.0  # between SIGTERM and SIGKILL
KILL_S = 1.0  # for the end after that
_VARIABLE = f"{GENERATION_VARIABLE}=".encode()
_STRAYS_MAX = 10  # named in one line

_living: Counter[int] = Counter()  # numbers of generations


@dataclass(frozen=True, slots=True)
class Left:
    """A generation that has left."""

    number: int
    directory: str  # of its release
    master: int  # pid, which was its group and session
    uid: int
    listeners: Mapping[int, str]  # by the inode of the socket, their names
    adopted: bool = False  # another supervisor has started it


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a listener. Owns the pidfd."""

    pid: int
    pidfd: int
    name: str
    listener: str


def find(left: Left) -> list[Holder]:
    """Those that hold a listener of a generation whose processes have all ended."""
    found: dict[int, Holder] = {}
    until = time.monotonic() + proc.EXEC_S
    for pid, ours in _candidates(left):
        try:
            pidfd = system.open_pidfd(pid)
        except OSError:  # it has just ended
            continue
        process = evidence.process(pidfd)
        is_user = process is not None and process.pid == pid and process.runs_as(left.uid)
        listener = _held(pid, left.listeners) if is_user and _may_be_of(pid, left, ours, until) else None
        if listener is None or pid in found or not evidence.same_process(process, evidence.process(pidfd)):
            os.close(pidfd)
        else:
            found[pid] = Holder(pid, pidfd, _name(pid), listener)
    return list(found.values())


def strays(master: int, uid: int | None, known: Collection[int]) -> list[str]:
    """What the application has started that lives in the group of a master, and ends with it; but for ``known`` pids.

    In words.
    """
    found, poll = [], select.poll()
    for pidfd in evidence.members(master, master, uid):
        pid = evidence.pid_of(pidfd)
        poll.register(pidfd, select.POLLIN)
        if pid is not None and pid not in known and not poll.poll(0):  # else it has ended
            found.append(f"pid {pid} ({_name(pid)})")
        poll.unregister(pidfd)
        os.close(pidfd)
    return found


async def end(number: int, holders: list[Holder]) -> None:
    """SIGTERM, and after a while SIGKILL, to exactly these. Closes their pidfds."""
    for one in holders:
        log.warning(
            "terminating pid %d (%s): generation %d left it behind, and it still holds %s without serving it",
            one.pid,
            one.name,
            number,
            one.listener,
        )
    try:
        for signal_number, patience_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, KILL_S)):
            left = [one for one in holders if children.peek(one.pidfd) is None]
            for one in left:
                system.send_signal(one.pidfd, signal_number)
            await _until_gone(left, patience_s)
    finally:
        for one in holders:
            os.close(one.pidfd)


async def _until_gone(holders: list[Holder], patience_s: float) -> None:
    loop = asyncio.get_running_loop()
    for one in holders:
        begun = loop.time()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, patience_s)):
                await readable(one.pidfd)
        patience_s -= loop.time() - begun


def _candidates(left: Left) -> Iterator[tuple[int, bool]]:
    """Our descendants, but for those of what we have started and that lives: other generations, the sentry, hooks.

    And others.
    """
    spared = children.started() - {left.master} | {os.getsid(0)}
    waiting = proc.children(os.getpid())
    while waiting:
        pid = waiting.pop()
        process = evidence.look(pid)
        if process is None or process.session in spared:
            continue
        if process.group != left.master:  # else it has been killed
            yield pid, True
        waiting += proc.children(pid)
    for name in os.listdir("/proc") if left.adopted else ():
        if (
            name.isdigit()
            and (process := evidence.look(int(name)))
            and process.session not in spared
            and process.group != left.master
        ):
            yield process.pid, False


def _may_be_of(pid: int, left: Left, ours: bool, until: float) -> bool:
    """Whether a descendant of ours does not say that it is of another generation that lives, and anybody else known to
    be of this one; ``until`` as in ``proc.environment``.
    """
    try:
        variables = proc.environment(pid, until if ours else 0.0)  # for those of the whole host it is not waited
    except OSError:
        return False
    if not ours:
        return variables >= {_VARIABLE + str(left.number).encode(), b"PWD=" + os.fsencode(left.directory)}
    said = {_VARIABLE + str(number).encode(): number for number in _living | Counter([left.number])}
    named = {said[one] for one in said.keys() & variables}
    return not named or left.number in named


def _held(pid: int, listeners: Mapping[int, str]) -> str | None:
    """The name of a listener that a process has open."""
    for what in descriptors(pid):
        for inode, name in listeners.items():
            if what == f"socket:[{inode}]":
                return name
    return None


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return "".join(sign if sign.isprintable() else "?" for sign in file.read().strip())
    except OSError:
        return "?"


class Leftovers:
    """What one generation may leave behind, from its beginning on. Lives in the supervisor's loop."""

    def __init__(
        self, number: int, directory: str, uid: int, on_end: Callable[[], None], *, adopted: bool = False
    ) -> None:
        """``on_end`` hears when nothing of it is left; ``directory``, ``uid``, ``adopted`` as in ``Left``."""
        self._number = number
        self._directory = directory
        self._uid = uid
        self._on_end = on_end
        self._adopted = adopted
        self._inodes: dict[int, str] = {}  # of its listeners, with their names
        self._ending: asyncio.Task[None] | None = None
        _living[number] += 1

    def note(self, listeners: Iterable[Listener]) -> None:
        """Remember which sockets its processes may have, also when they are closed here."""
        for one in listeners:
            if one.socket.fileno() >= 0:
                self._inodes[os.fstat(one.socket.fileno()).st_ino] = one.name

    def name_strays(self, master: int, workers: Iterable[int]) -> None:
        """Say what the application has started that ends now, with the group of its master; all by their pids."""
        found = strays(master, self._uid or None, {master, *workers}) if master > 1 else []
        if found:
            what = counted(len(found), "process", "processes")
            names = ", ".join(found[:_STRAYS_MAX]) + (", …" if len(found) > _STRAYS_MAX else "")
            advice = "start_new_session=True keeps a process alive"
            log.warning(
                "ending %s that the application of generation %d started: %s; %s", what, self._number, names, advice
            )

    def end(self, master: int) -> None:
        """All processes of it have ended, also its master (pid): end those that hold one of its listeners."""
        _living[self._number] -= 1
        if _living[self._number] <= 0:
            del _living[self._number]
        holders = find(Left(self._number, self._directory, master, self._uid, self._inodes, self._adopted))
        if holders:
            self._ending = asyncio.get_running_loop().create_task(self._end(holders))
        else:
            self._on_end()

    async def _end(self, holders: list[Holder]) -> None:
        try:
            await end(self._number, holders)
        finally:
            self._on_end()
