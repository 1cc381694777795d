"""A descriptor whose last close waits holds nobody up, however it came."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

import pytest

from harness.workers import eventually
from releve.server.handover import exchange
from releve.server.handover.exchange import ExchangeError
from releve.server.shared import closing
from releve.server.shared.link import pair
from releve.supervisor.channels.exchange import Exchange
from releve.supervisor.channels.master import Master, Reached
from releve.supervisor.channels.observer import Observer

LINGER_S = 25  # so long would the last close wait
SOON_S = 2.5


def trap() -> int:
    """A socket in whose queue there is a connection whose close waits for a peer that reads nothing: no option shows
    that.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        peer, _ = listening.accept()
    PEERS.append(peer)
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            client.send(b"x" * 65536)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER_S))
    one, other = socket.socketpair()
    socket.send_fds(one, [b"x"], [client.fileno()])
    client.close()
    one.close()
    return other.detach()


PEERS: list[socket.socket] = []


@pytest.fixture(autouse=True)
def relieved() -> object:
    """The peers end, and with them the waiting."""
    yield
    while PEERS:
        PEERS.pop().close()


def send(sock: socket.socket, data: bytes) -> None:
    fd = trap()
    socket.send_fds(sock, [data], [fd])
    os.close(fd)


def over_the_link(data: bytes) -> Callable[[], None]:
    def do() -> None:
        ours, theirs = pair()
        master = Master(1, 0, lambda report, fds: None, lambda: None, lambda status: None)
        master.take_over(Reached(os.getpid(), os.pidfd_open(os.getpid()), ours))
        send(theirs.socket, data)
        master._read()
        send(theirs.socket, data)
        master.hang_up()  # before that is read
        asyncio.get_running_loop().remove_reader(master.pidfd)
        os.close(master.pidfd)

    return do


def to_the_observer() -> None:
    observer = Observer()
    send(observer.theirs.socket, b"{}")
    observer.close()


def into_the_exchange() -> None:
    exchange = Exchange()
    send(exchange.send, b"x")
    exchange.close()


WAYS = {
    "a message": over_the_link(b'{"type":"novelty"}'),
    "no message": over_the_link(b"{"),
    "to an observer": to_the_observer,
    "into an exchange": into_the_exchange,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_close_that_waits_holds_nobody_up(way: str) -> None:
    async def story() -> float:
        began = time.monotonic()
        WAYS[way]()
        await asyncio.sleep(0)
        return time.monotonic() - began

    assert asyncio.run(story()) < SOON_S


def test_what_another_generation_gives_to_an_exchange_holds_no_worker_up() -> None:
    """What is refused is closed elsewhere; a connection that is served is, too, when it ends
    (``Connection.received``).
    """
    give, take = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    take.setblocking(False)
    send(give, b"no parcel")
    began = time.monotonic()
    with pytest.raises(ExchangeError):
        exchange.take(take.fileno())
    assert time.monotonic() - began < SOON_S
    give.close()
    take.close()


def ended(*fds: int) -> bool:
    """Whether the write ends of pipes are closed, by their read ends; waits for it."""
    return all(os.read(fd, 1) == b"" for fd in fds)


@pytest.fixture
def closer(monkeypatch: pytest.MonkeyPatch) -> closing._Closer:
    monkeypatch.setattr(closing, "REST_S", 60.0)
    return closing._Closer()


def test_one_thread_closes_what_comes_in_turn(closer: closing._Closer) -> None:
    for _ in range(3):
        read, write = os.pipe()
        closer.take(write)
        assert ended(read)
        eventually(lambda: closer.at_rest, "the thread rests")
        closer.take(read)
        eventually(lambda: closer.at_rest, "the thread rests")
    assert closer._threads == 1


def test_what_no_thread_could_be_started_for_waits_for_the_next(
    closer: closing._Closer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    pipes = [os.pipe() for _ in range(3)]
    with monkeypatch.context() as scarce:
        scarce.setattr(closing, "start_thread", none)
        for _, write in pipes[:2]:
            closer.take(write)
    assert not closer.at_rest
    closer.take(pipes[2][1])
    assert ended(*(read for read, _ in pipes))
    eventually(lambda: closer.at_rest, "the thread rests")
    assert closer._threads == 1
    for read, _ in pipes:
        os.close(read)


def test_what_comes_when_a_thread_is_about_to_end_is_closed_by_it(closer: closing._Closer) -> None:
    class LateCall:
        """Something comes between the end of the wait and what the thread does then."""

        acquired = 0

        def acquire(self, timeout: float = -1) -> bool:
            self.acquired += 1
            if timeout >= 0:
                closer.take(7)
            return timeout < 0

        def release(self) -> None:
            self.acquired -= 1

    call = LateCall()
    closer._threads = 1  # this one
    assert closer._next(call) == 7  # type: ignore[arg-type]
    assert (closer._threads, closer._resting, call.acquired) == (1, [], 1)


def test_a_thread_that_is_called_late_rests_no_longer_than_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a thread comes to its turn when its time is over: it ends (a wait of less than no time is for
    ever).
    """
    monkeypatch.setattr(closing, "REST_S", 0.008)
    closer, busy = closing._Closer(), True

    def spin() -> None:
        while busy:
            pass

    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.004)
    spinner = threading.Thread(target=spin)
    spinner.start()
    try:
        for _ in range(20):
            pipes = [os.pipe() for _ in range(4)]
            for _, write in pipes:
                closer.take(write)
            assert ended(*(read for read, _ in pipes))
            for read, _ in pipes:
                os.close(read)
            time.sleep(0.006)  # about as long as a thread rests
    finally:
        busy = False
        sys.setswitchinterval(usual)
        spinner.join()
    eventually(lambda: closer._threads == 0, "no thread is left")


def test_children_that_are_forked_meanwhile_come_to_their_end(closer: closing._Closer) -> None:
    """What the threads of the parent hold, the child does not wait for."""
    pipes = [os.pipe() for _ in range(50)]
    for _, write in pipes:
        closer.take(write)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0 and ended(*(read for read, _ in pipes))
    eventually(lambda: closer.at_rest, "the threads rest")
    for read, _ in pipes:
        os.close(read)
