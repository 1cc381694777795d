"""The succession: what a supervisor hands to the program that replaces it in the same process.

Descriptors keep their numbers over execve(2), so all that is handed over is JSON in a
memory file, with numbers in it. Versioned, and tolerant both ways: unknown keys are
passed over, missing ones have defaults; ``reads`` is the oldest version whose reader
understands it. What cannot be understood at all raises SuccessionError.
"""

from __future__ import annotations

import binascii
import dataclasses
import json
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import releve
from releve.config.frozen import dataclass
from releve.server.shared.link import STACKS_SIGNAL, Link
from releve.supervisor.channels import relay
from releve.supervisor.channels.door import Door
from releve.supervisor.channels.master import Reached
from releve.supervisor.channels.relay import Held, Relay
from releve.supervisor.channels.worker import LastExit, Worker
from releve.supervisor.generation.crash import Crash
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.handed_over import HandedOver
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.host import memory, system
from releve.supervisor.keepsake.packing import pack_listener, pack_pin, unpack_listener, unpack_pin
from releve.supervisor.keepsake.revival import Folders
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.reporting.log import own
from releve.supervisor.service.service import Service

VERSION = 1
READS = 1

Packed = dict[str, Any]

_UNFIT = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError)


class SuccessionError(Exception):
    """What was handed over cannot be understood."""


@dataclass(frozen=True, slots=True)
class Bequest:
    """What a supervisor holds besides its service, by descriptor number, and what it is in the middle of."""

    runtime: str
    state: str
    lock: int
    control: int  # the listening control socket
    conversations: tuple[int, ...]  # of those who wait for this operation
    number: int  # of the operation
    by: str
    attempt: int | None  # of the operation, in the history
    began: float  # CLOCK_MONOTONIC
    times: dict[str, float]  # of its phases so far
    control_group: str | None = None

    @property
    def folders(self) -> Folders:
        """Where the supervisor lives."""
        return Folders(Path(self.runtime), Path(self.state), self.control_group)


@dataclass(frozen=True, slots=True)
class Succession:
    """What was handed over, decoded; its generations are not held yet."""

    releve: str
    bequest: Bequest
    packed: Packed

    @property
    def descriptors(self) -> list[int]:
        """Every descriptor that is meant."""
        return list(_descriptors(self.packed))

    @property
    def going_on(self) -> tuple[int, float] | None:
        """The attempt that is under way, as the history wants it."""
        return None if self.bequest.attempt is None else (self.bequest.attempt, self.bequest.began)

    @property
    def generations(self) -> int:
        """How many generations there are."""
        return len(self.packed["generations"])


# ---------------------------------------------------------------- in the one that goes


def pack(service: Service, bequest: Bequest) -> Packed:
    """Everything the next program must know."""
    listeners: list[Listener] = []
    generations = [_pack_generation(service, one, listeners) for one in service.generations()]
    held = {id(one.exchange.relay) for one in service.generations()}
    standing = service.standing()
    return {
        "version": VERSION,
        "reads": READS,
        "releve": releve.__version__,
        "pid": os.getpid(),
        "bequest": dataclasses.asdict(bequest),
        "service": {
            "started": service.started,
            "scaled": standing.scaled,
            "degraded": service.condition.degraded,
            "last_number": standing.last_number,
            "standby_until": standing.standby_until,
            "drained_ns": standing.drained_ns,
            "listeners": [_index(listeners, one) for one in service.listeners.in_service],
        },
        "generations": generations,
        "listeners": [{**pack_listener(one), "fd": one.socket.fileno()} for one in listeners],
        "inherited": {name: sock.fileno() for name, sock in service.listeners.inherited.items()},
        "relays": [_pack_relay(one) for one in relay.live() if id(one) not in held],
    }


def write(packed: Packed) -> int:
    """A memory file with it, owned by the caller."""
    return memory.written("releve-succession", packed)


def _pack_generation(service: Service, generation: Generation, listeners: list[Listener]) -> Packed:
    held = generation.exchange.relay
    return {
        "number": generation.number,
        "place": "active"
        if generation is service.active
        else "standby"
        if generation is service.standby
        else "retiring",
        "state": generation.state.value,
        "revision": generation.revision,
        "pin": pack_pin(generation.pin, generation.settings),
        "listeners": [_index(listeners, one) for one in generation.listeners],
        "aside": [_index(listeners, one) for one in service.listeners.aside(generation)],
        "pid": generation.pid,
        **dataclasses.asdict(generation.descriptors()),
        "hello": generation.hello,
        "preloaded": generation.news.preloaded,
        "broken": generation.news.broken,
        "mixed": generation.news.mixed,
        "astray": generation.news.astray,
        "door": None if generation.door is None else str(generation.door.path),
        "held": None if held is None else _pack_held(held.held),
        "orphaned": generation.orphaned,
        "kill_at": generation.dismissal.kills_at,
        "started": generation.started,
        "workers": [_pack_worker(one) for one in generation.workers.values()],
        "slots": sorted(generation.roster.slots),
        "lost": generation.roster.losses.listed,
        "losses": generation.roster.losses.times,
        "stacks_signal": generation.news.stacks_signal,
        "crashes": [dataclasses.asdict(crash) for crash in generation.crashes.recent],
    }


def _index(listeners: list[Listener], listener: Listener) -> int:
    if listener not in listeners:
        listeners.append(listener)
    return listeners.index(listener)


def _pack_worker(worker: Worker) -> Packed:
    return {
        "number": worker.number,
        "pid": worker.pid,
        "slot": worker.slot,
        "revision": worker.revision,
        "state": worker.state,
        "started": worker.started,
        "restarts": worker.restarts,
        "last_exit": None if worker.last_exit is None else [worker.last_exit.words, worker.last_exit.when],
        "control": worker.control.fileno(),
        "pidfd": worker.pidfd,
    }


def _pack_relay(one: Relay) -> Packed:
    return {"receive": one.fileno(), "held": _pack_held(one.held)}


def _pack_held(held: Held | None) -> Packed | None:
    return None if held is None else {"data": binascii.b2a_base64(held[0], newline=False).decode(), "fds": held[1]}


# ---------------------------------------------------------------- in the one that comes


def read(fd: int) -> Succession:
    """What is in the memory file. Raises SuccessionError."""
    try:
        packed = json.loads(os.pread(fd, os.fstat(fd).st_size, 0))
        if packed["reads"] > VERSION:
            raise SuccessionError(
                f"cannot follow releve {packed.get('releve')}: its handover has version "
                f"{packed['version']}, this one reads {VERSION}"
            )
        known = {field.name for field in dataclasses.fields(Bequest)}
        said = {name: value for name, value in packed["bequest"].items() if name in known}
        said["conversations"] = tuple(said.get("conversations", ()))
        bequest = Bequest(**{"number": 0, "by": "", "attempt": None, "began": time.monotonic(), "times": {}, **said})
        for one in packed["generations"]:  # whatever is wrong with them shall show now
            unpack_pin(one["pin"])
            GenerationState(one["state"])
            for worker in one["workers"]:
                _last_exit(worker)
        succession = Succession(str(packed.get("releve")), bequest, packed)
        assert all(isinstance(number, int) for number in succession.descriptors)
    except (*_UNFIT, AssertionError) as error:
        raise SuccessionError(f"cannot read what the supervisor hands over: {error!r}") from error
    return succession


def restore(service: Service, succession: Succession) -> None:
    """Hold everything again, in its place.

    Raises SuccessionError; then this process had better end: the guard starts another.
    """
    try:
        _restore(service, succession.packed)
    except _UNFIT as error:
        raise SuccessionError(f"cannot take over what the supervisor handed over: {error!r}") from error


def inherited(succession: Succession) -> dict[str, socket.socket]:
    """The sockets that systemd passed to the program before us."""
    return {name: socket.socket(fileno=fd) for name, fd in succession.packed.get("inherited", {}).items()}


def _restore(service: Service, packed: Packed) -> None:
    told = packed["service"]
    listeners = [unpack_listener(one, _listening(one["fd"])) for one in packed["listeners"]]
    service.started = told.get("started", service.started)
    service.scaled = told.get("scaled")
    service.condition.degraded.update(told.get("degraded", {}))
    by_place: dict[str, list[tuple[Generation, Packed]]] = {"active": [], "standby": [], "retiring": []}
    for one in packed["generations"]:
        by_place[one["place"]].append((_hold(one, listeners), one))
    ((active, active_told),) = by_place["active"]
    standby = next(iter(by_place["standby"]), None)
    service.restore(
        active,
        None if standby is None else standby[0],
        None,
        [listeners[at] for at in told["listeners"]],
        told.get("last_number", 0),
        told.get("drained_ns"),
    )
    own.change(service.settings.log)
    if standby is not None:
        until = told.get("standby_until") or time.monotonic()
        service.restore_standby(
            standby[0], max(0.0, until - time.monotonic()), [listeners[at] for at in standby[1].get("aside", ())]
        )
    for generation, one in by_place["retiring"]:
        service.restore_retiring(generation, [listeners[at] for at in one.get("aside", ())])
        generation.exchange.relay_to(service.serving_exchange, _unpack_held(one.get("held")))
        if (kill_at := one.get("kill_at")) is not None:
            generation.dismissal.go_on(max(0.0, kill_at - time.monotonic()))
    for generation, one in (pair for place in by_place.values() for pair in place):
        if one.get("orphaned"):
            generation.command_alone()

    def successor() -> socket.socket | None:
        exchange = service.serving_exchange()
        return None if exchange is None or exchange.closed else exchange.send

    for one in packed.get("relays", ()):
        receive = _seqpacket(one["receive"])
        Relay(receive, successor, _unpack_held(one.get("held")))
        receive.close()  # it has a duplicate


def _hold(one: Packed, listeners: list[Listener]) -> Generation:
    link = one["link"]
    pid = int(one["pid"])
    found = HandedOver(
        master=Reached(pid, _master(pid, one.get("pidfd")), None if link < 0 else Link(_seqpacket(link))),
        hello=dict(one.get("hello", {})),
        revision=int(one.get("revision", 1)),
        state=GenerationState(one["state"]),
        preloaded=one.get("preloaded"),
        receive=_seqpacket(one["receive"]),
        send=_seqpacket(one["send"]),
        board=one["board"],
        crash=one["crash"],
        door=Door(Path(one["door"]), None) if one.get("door") else None,
        counted=True,
    )
    pin, settings = unpack_pin(one["pin"])
    generation = Generation(int(one["number"]), pin, settings, [listeners[at] for at in one["listeners"]], found)
    generation.started = one.get("started", generation.started)
    generation.news.take_over(
        one.get("broken", ()), one.get("mixed", ()), one.get("astray", ()), one.get("stacks_signal", STACKS_SIGNAL)
    )
    generation.roster.take_over(map(_unpack_worker, one["workers"]), one.get("slots", ()))
    crashes, boots = one.get("losses", ((), ()))
    listed = [(int(revision), str(words)) for revision, words in one.get("lost", ())]
    generation.roster.losses.take_over(crashes, boots, listed)
    crashed = (Crash(float(c["when"]), str(c["words"]), str(c["stack"])) for c in one.get("crashes", ()))
    generation.crashes.recent.extend(crashed)
    generation.news.observe()
    return generation


def _master(pid: int, pidfd: int | None) -> int:
    """The pidfd of a master, which may have died on the way: that is no reason not to hold its workers. -1 if it has,
    and left none.
    """
    if pidfd is not None:
        return pidfd
    try:  # an older program hands none over
        return system.open_pidfd(pid)
    except ProcessLookupError:
        return -1


def _unpack_worker(one: Packed) -> Worker:
    control = Link(_seqpacket(one["control"]))
    worker = Worker(one["number"], one["pid"], one["slot"], one["revision"], control, one["pidfd"], one["state"])
    worker.started = one.get("started", worker.started)
    worker.restarts = one.get("restarts", 0)
    worker.last_exit = _last_exit(one)
    return worker


def _last_exit(one: Packed) -> LastExit | None:
    """How the one before a worker ended. A newer program may say more of it than is read here."""
    last = one.get("last_exit")
    return None if last is None else LastExit(str(last[0]), float(last[1]))


def _unpack_held(held: Packed | None) -> Held | None:
    return None if held is None else (binascii.a2b_base64(held["data"]), list(held["fds"]))


def _listening(fd: int) -> socket.socket:
    sock = socket.socket(fileno=fd)
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ValueError(f"descriptor {fd} is no listener")
    sock.setblocking(False)
    return sock


def _seqpacket(fd: int) -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=fd)


def _descriptors(packed: Packed) -> Iterable[int]:
    bequest = packed["bequest"]
    yield from (bequest["lock"], bequest["control"], *bequest.get("conversations", ()))
    yield from (one["fd"] for one in packed["listeners"])
    yield from packed.get("inherited", {}).values()
    for one in packed.get("relays", ()):
        yield one["receive"]
        yield from (one.get("held") or {}).get("fds", ())
    for one in packed["generations"]:
        yield from (
            one[name] for name in ("link", "pidfd", "receive", "send", "board", "crash") if one.get(name, -1) >= 0
        )
        yield from (one.get("held") or {}).get("fds", ())
        for worker in one["workers"]:
            yield from (worker["control"], worker["pidfd"])
