"""A program that is run to its end: what it said, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence

from releve.config.frozen import dataclass
from releve.supervisor.host import children, system
from releve.supervisor.host.identity import AS_WE_ARE, Identity

_OUTPUT_MAX_BYTES = 65536
_PIPE_READS = 4  # what a pipe can hold when its program has ended; somebody else may have it still, and write on
_KILL_MS = 2000  # a killed process is gone long before, but for one that hangs in the kernel


@dataclass(frozen=True, slots=True)
class Ended:
    """How it went.

    ``status`` is None for one that had to be killed at its time limit; texts are the ends of long ones.
    """

    status: int | None
    output: str
    errors: str

    @property
    def last_words(self) -> str:
        """The last lines that it wrote to standard error, as one."""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        return " | ".join(lines[-3:])[-600:]


async def run(
    argv: Sequence[str],
    timeout_s: float,
    *,
    directory: str,
    environment: Mapping[str, str],
    identity: Identity = AS_WE_ARE,
    pass_fds: Sequence[int] = (),
) -> Ended:
    """Run it in a session of its own, of which nothing is left afterwards, also when the waiting is cancelled.

    Raises OSError and SubprocessError as ``children.spawn`` does.
    """
    with _memory_file("output") as out, _memory_file("errors") as err:
        pid = children.spawn(
            argv,
            directory=directory,
            environment=environment,
            identity=identity,
            pass_fds=pass_fds,
            stdout=out,
            stderr=err,
        )
        status = await _end_of(pid, timeout_s)
        return Ended(status, _read(out), _read(err))


async def follow(
    argv: Sequence[str],
    timeout_s: float,
    *,
    directory: str,
    environment: Mapping[str, str],
    identity: Identity,
    grace_s: float,
    hear: Callable[[bytes], None],
    started: Callable[[int], None],
) -> int | None:
    """Run one that people watch: ``hear`` gets what it writes, as it comes.

    Its exit status; None if it was ended at its time limit.

    It is told to end (SIGTERM) ``grace_s`` before it is killed, also when the waiting is cancelled; what it has left in
    its session then is killed. ``started`` gets its pid. Raises OSError and SubprocessError as ``children.spawn`` does.
    """
    loop = asyncio.get_running_loop()
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(read_end, False)

    def read() -> bool:
        with contextlib.suppress(BlockingIOError):
            data = os.read(read_end, _OUTPUT_MAX_BYTES)
            if data:
                hear(data)
                return True
            loop.remove_reader(read_end)  # everybody has closed it
        return False

    loop.add_reader(read_end, read)
    try:
        try:
            pid = children.spawn(
                argv,
                directory=directory,
                environment=environment,
                identity=identity,
                stdout=write_end,
                stderr=write_end,
                blocked=False,
            )
        finally:
            os.close(write_end)
        started(pid)
        return await _end_of(pid, timeout_s, grace_s)
    finally:
        for _ in range(_PIPE_READS):
            if not read():
                break
        loop.remove_reader(read_end)
        os.close(read_end)


async def _end_of(pid: int, timeout_s: float, grace_s: float = 0.0) -> int | None:
    """Wait for a child by its pidfd and reap it: its exit status, or None if it had to be ended."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    pidfd = system.open_pidfd(pid)
    loop.add_reader(pidfd, gone.set)
    try:
        try:
            async with asyncio.timeout(timeout_s):
                await gone.wait()
            return children.peek(pidfd)
        except TimeoutError:
            return None
        finally:
            if grace_s and not gone.is_set():
                system.kill_group(pid, signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace_s):
                        await gone.wait()
    finally:
        loop.remove_reader(pidfd)
        system.kill_group(pid, signal.SIGKILL)
        dead = select.poll()
        dead.register(pidfd, select.POLLIN)
        dead.poll(_KILL_MS)
        children.wait(pid)
        os.close(pidfd)


@contextlib.contextmanager
def _memory_file(name: str) -> Iterator[int]:
    """A file in memory: unlike a pipe it never fills up, and a grandchild that keeps it open holds up nobody."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _read(fd: int) -> str:
    size = os.fstat(fd).st_size
    return os.pread(fd, _OUTPUT_MAX_BYTES, max(0, size - _OUTPUT_MAX_BYTES)).decode("utf-8", "replace")
