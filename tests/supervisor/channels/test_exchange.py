"""The exchange of a generation: where connections in it go when it does not receive any more."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from harness.descriptors import descriptors, only_open
from releve.supervisor.channels import relay
from releve.supervisor.channels.exchange import Exchange


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """In a loop of its own; nothing stays open, and no relay."""

    async def whole() -> None:
        before = set(descriptors())
        await story()
        await only_open(before)
        assert not relay.live()

    asyncio.run(whole())


def give(exchange: Exchange, text: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(exchange.send, [text], [theirs.fileno()])


async def taken(exchange: Exchange) -> bytes:
    """The next that comes to it."""
    come = asyncio.Event()
    asyncio.get_running_loop().add_reader(exchange.receive.fileno(), come.set)
    async with asyncio.timeout(10):
        await come.wait()
    asyncio.get_running_loop().remove_reader(exchange.receive.fileno())
    data, fds, _, _ = socket.recv_fds(exchange.receive, 65536, 4)
    socket.socket(fileno=fds[0]).close()
    return data


def test_it_is_two_ends_that_never_block() -> None:
    async def story() -> None:
        one = Exchange()
        assert not one.receive.getblocking() and not one.send.getblocking()
        give(one, b"request")
        assert await taken(one) == b"request"
        again = Exchange((one.receive, one.send))
        assert (again.receive, again.send) == (one.receive, one.send)
        one.close()
        assert one.closed

    run(story)


def test_what_comes_late_goes_to_the_successor_until_it_receives_again() -> None:
    async def story() -> None:
        old, new = Exchange(), Exchange()
        old.relay_to(lambda: new)
        first = old.relay
        old.relay_to(lambda: None)  # there is one already
        assert old.relay is first
        give(old, b"late")
        assert await taken(new) == b"late"
        old.end_relay()
        old.end_relay()
        assert old.relay is None
        give(old, b"mine again")
        assert await taken(old) == b"mine again"
        old.close()
        new.close()

    run(story)


def test_nothing_is_passed_on_to_itself_or_to_one_that_is_closed() -> None:
    async def story() -> None:
        old, closed, new = Exchange(), Exchange(), Exchange()
        closed.close()
        successors = [old, closed, None]
        asked = asyncio.Event()

        def successor() -> Exchange | None:
            if not successors:
                return new
            if len(successors) == 1:
                asked.set()
            return successors.pop()

        old.relay_to(successor)
        give(old, b"waits")
        async with asyncio.timeout(10):
            await asked.wait()
        assert await taken(new) == b"waits"
        old.end_relay()
        old.close()
        new.close()

    run(story)


def test_an_heir_gets_what_is_in_it_when_it_is_closed() -> None:
    async def story() -> None:
        old, new = Exchange(), Exchange()
        old.heir = lambda: new
        give(old, b"in it")
        with old.send.dup() as sender:  # of a generation that still gives something up
            old.close()
            assert await taken(new) == b"in it"
            assert relay.live()
            sender.close()
        async with asyncio.timeout(10):
            while relay.live():
                await asyncio.sleep(0)
        new.close()
        new.relay_to(lambda: None)  # closed: nothing comes to it any more
        assert new.relay is None

    run(story)
