"""Whatever comes to a receiver, with descriptors of whatever kind: it is read or passed over, and no descriptor is left
open.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.garbage import KINDS, VALUES, make_descriptor
from harness.service import eventually
from releve.server.handover import exchange
from releve.server.handover.exchange import ExchangeError, Parcel, encode, take
from releve.server.shared import form
from releve.server.shared.link import pair
from releve.supervisor.channels.observer import TEXT_MAX, Observer, known_signal
from releve.supervisor.channels.relay import Relay
from releve.supervisor.host import memory
from releve.supervisor.sentry import Sentry

FEW = settings(max_examples=25, deadline=None)
DESCRIPTORS = st.lists(st.sampled_from(KINDS), max_size=4)
PARCEL = Parcel("127.0.0.1:80", "192.0.2.1:1", 0, 0, 0, False, b"GET / HTTP/1.1\r\n", 0)
TEXT = st.text(max_size=30) | st.sampled_from(["+1", "-1", "+", "9" * 30, "a\0b", "\ud800", "x" * 5000, "/"])


def open_now() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def send(sock: socket.socket, data: bytes, kinds: Iterable[str]) -> None:
    fds = [make_descriptor(kind) for kind in kinds]
    socket.send_fds(sock, [data], fds)
    for fd in fds:
        os.close(fd)


@st.composite
def parcels(draw: st.DrawFn) -> bytes:
    """Any bytes, or a parcel with some bytes changed, and cut or longer."""
    data = bytearray(encode(PARCEL))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=3)):
        data[at] = byte
    return draw(st.just(bytes(data)) | st.just(bytes(data[: draw(st.integers(0, len(data)))])) | st.binary(max_size=80))


@FEW
@given(st.lists(st.tuples(parcels(), DESCRIPTORS), max_size=6))
def test_a_worker_takes_connections_and_nothing_else_from_an_exchange(said: list[tuple[bytes, list[str]]]) -> None:
    receive_end, send_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    receive_end.setblocking(False)
    before = open_now()
    for data, kinds in said:
        send(send_end, data, kinds)
        try:
            taken = take(receive_end.fileno())
        except ExchangeError:
            continue
        assert kinds == ["stream"] and taken is not None and taken[0].peer.isprintable()
        taken[1].close()
    eventually(lambda: open_now() <= before, "what was sent is closed")
    client, server = socket.socketpair()
    exchange.give(send_end.fileno(), PARCEL, server.fileno())
    good = take(receive_end.fileno())
    assert good is not None and good[0].rest == PARCEL.rest
    for one in (good[1], client, server, receive_end, send_end):
        one.close()


@FEW
@given(st.lists(st.tuples(parcels(), DESCRIPTORS), max_size=6))
def test_a_relay_passes_on_connections_and_nothing_else(said: list[tuple[bytes, list[str]]]) -> None:
    async def story() -> None:
        old_receive, old_send = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        new_receive, new_send = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        new_receive.setblocking(False)
        relay = Relay(old_receive, lambda: new_send)
        before = open_now()
        for data, kinds in [*said, (b"the last", ["stream"])]:
            send(old_send, data, kinds)
        passed: list[bytes] = []
        async with asyncio.timeout(10):
            while not passed or passed[-1] != b"the last":
                await asyncio.sleep(0)
                with suppress(BlockingIOError):
                    data, fds, _, _ = socket.recv_fds(new_receive, 65536, 4)
                    assert len(fds) == 1 and form.is_stream(fds[0])
                    os.close(fds[0])
                    passed.append(data)
            assert passed[:-1] == [data for data, kinds in said if data and kinds == ["stream"]]
            while not open_now() <= before:
                await asyncio.sleep(0.001)
        relay.close()
        for one in (old_receive, old_send, new_receive, new_send):
            one.close()

    asyncio.run(story())


OBSERVED = st.fixed_dictionaries(
    {"type": st.sampled_from(["observed", "stacks"])},
    optional={
        "id": VALUES | st.just(1),
        "text": VALUES,
        "more": VALUES | st.just(True),
        "signal": VALUES | st.integers(-1, 70),
    },
)


@FEW
@given(st.lists(st.tuples(OBSERVED | VALUES, DESCRIPTORS), max_size=8))
def test_an_observed_worker_may_say_anything(said: list[tuple[Any, list[str]]]) -> None:
    async def story() -> None:
        before = open_now()
        observer = Observer()
        for message, kinds in [*said, ({"type": "stacks", "id": 1, "text": "the last", "more": False}, [])]:
            send(observer.theirs.socket, json.dumps(message).encode(), kinds)
        text = await observer.ask(20)
        assert len(text.encode()) <= 4 * TEXT_MAX
        assert observer.signal == known_signal(observer.signal)
        observer.close()
        async with asyncio.timeout(10):
            while not open_now() <= before:
                await asyncio.sleep(0.001)

    asyncio.run(story())


WATCHED = st.fixed_dictionaries(
    {"type": st.sampled_from(["watch", "alive"])},
    optional={"within_s": VALUES | st.just(10**400) | st.just(float("inf"))},
)


@FEW
@given(st.lists(st.tuples(WATCHED, DESCRIPTORS), max_size=8))
def test_a_sentry_outlives_whatever_it_is_told(said: list[tuple[Any, list[str]]]) -> None:
    """What it is told last counts."""
    before = open_now()
    ours, theirs = pair()
    sentry = Sentry(theirs, -1)
    for message, kinds in said:
        send(ours.socket, json.dumps(message).encode(), kinds)
    told, pidfd = memory.written("x", {"argv": ["releve"]}), os.pidfd_open(os.getpid())
    ours.send({"type": "watch"}, [pidfd, told])
    os.close(pidfd)
    os.close(told)
    sentry._listen()
    assert sentry._what == {"argv": ["releve"]} and form.is_pidfd(sentry._pidfd)
    os.close(sentry._pidfd)
    ours.close()
    theirs.close()
    assert open_now() <= before
