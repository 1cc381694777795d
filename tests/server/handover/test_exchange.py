"""The exchange's messages, and giving and taking with real descriptors."""

from __future__ import annotations

import errno
import os
import resource
import socket
import struct
import time

import pytest

from harness.descriptors import descriptors
from releve.server.handover import exchange
from releve.server.handover.exchange import ExchangeError, Parcel, decode, encode, give, take
from releve.server.loop.connection import REST_MAX_BYTES
from releve.server.shared import system

PARCEL = Parcel("127.0.0.1:8000", "192.0.2.1:4711", 3, 123_456_789, 42, False, b"GET / HT")


@pytest.mark.parametrize(
    "parcel",
    [
        PARCEL,
        PARCEL._replace(fresh=True, rest=b"", requests=0),
        PARCEL._replace(peer="", listener="unix:/run/caf\N{LATIN SMALL LETTER E WITH ACUTE}.sock"),
        PARCEL._replace(rest=b"\0\xff" * 4096),
        PARCEL._replace(requests=0xFFFFFFFF, hops=32, deadline_ns=0),
    ],
)
def test_what_is_encoded_is_decoded(parcel: Parcel) -> None:
    before = time.monotonic_ns()
    decoded = decode(encode(parcel))
    assert before <= decoded.sent_ns <= time.monotonic_ns()
    assert decoded._replace(sent_ns=0) == parcel


def test_the_layout_is_that_of_the_protocol_page() -> None:
    data = encode(PARCEL._replace(fresh=True))
    assert struct.unpack_from("<BBH", data) == (1, 1, 3)
    assert struct.unpack_from("<QIHH", data, 12) == (123_456_789, 42, 14, 14)
    assert data[28:] == b"127.0.0.1:8000192.0.2.1:4711GET / HT"


def test_usual_messages_stay_in_the_smallest_kernel_buffer() -> None:
    assert len(encode(PARCEL._replace(rest=b"", peer="[2001:db8:1234:5678:1234:5678:1234:5678]:65535"))) <= 192


NO_MESSAGES = {
    "nothing": b"",
    "one byte": b"\1",
    "half a head": encode(PARCEL)[:27],
    "half a text": encode(PARCEL)[:40],
    "version 2": b"\2" + encode(PARCEL)[1:],
}


@pytest.mark.parametrize("data", NO_MESSAGES.values(), ids=NO_MESSAGES.keys())
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ExchangeError, match="cannot take a connection"):
        decode(data)


def test_too_long_a_rest_is_not_sent() -> None:
    with pytest.raises(ExchangeError):
        encode(PARCEL._replace(rest=b"x" * (REST_MAX_BYTES + 1)))


def test_a_connection_changes_hands(ends: tuple[socket.socket, socket.socket]) -> None:
    receive_end, send_end = ends
    client, server = socket.socketpair()
    with client:
        give(send_end.fileno(), PARCEL, server.fileno())
        server.close()
        client.send(b"while it is under way")
        taken = take(receive_end.fileno())
        assert taken is not None
        parcel, received = taken
        with received:
            assert parcel._replace(sent_ns=0) == PARCEL
            assert received.recv(100) == b"while it is under way"
            assert not os.get_inheritable(received.fileno())
            assert received.gettimeout() == 0.0
        assert client.recv(1) == b""
    assert take(receive_end.fileno()) is None


def test_a_full_exchange_says_so_and_takes_nothing(ends: tuple[socket.socket, socket.socket]) -> None:
    receive_end, send_end = ends
    client, server = socket.socketpair()
    with client, server:
        given = 0
        with pytest.raises(BlockingIOError) as caught:
            while given < 100_000:
                give(send_end.fileno(), PARCEL, server.fileno())
                given += 1
        assert caught.value.errno in exchange.FULL
        for _ in range(given):
            taken = take(receive_end.fileno())
            assert taken is not None
            taken[1].close()
        assert take(receive_end.fileno()) is None


def test_without_receivers_the_connection_stays(ends: tuple[socket.socket, socket.socket]) -> None:
    receive_end, send_end = ends
    receive_end.close()
    client, server = socket.socketpair()
    with client, server:
        with pytest.raises(OSError) as caught:
            give(send_end.fileno(), PARCEL, server.fileno())
        assert caught.value.errno in exchange.BROKEN
        server.send(b"alive")
        assert client.recv(10) == b"alive"


def test_the_end_of_the_exchange_is_an_error(ends: tuple[socket.socket, socket.socket]) -> None:
    receive_end, send_end = ends
    send_end.close()
    with pytest.raises(OSError) as caught:
        take(receive_end.fileno())
    assert caught.value.errno in exchange.BROKEN


def test_at_the_descriptor_limit_nothing_is_taken_and_nothing_lost(ends: tuple[socket.socket, socket.socket]) -> None:
    receive_end, send_end = ends
    client, server = socket.socketpair()
    with client:
        give(send_end.fileno(), PARCEL, server.fileno())
        server.close()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            with pytest.raises(OSError) as caught:
                take(receive_end.fileno())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert caught.value.errno == errno.EMFILE
        taken = take(receive_end.fileno())
        assert taken is not None
        with taken[1]:
            taken[1].send(b"alive")
            assert client.recv(10) == b"alive"


def test_a_message_of_a_newer_version_costs_its_connection_only(ends: tuple[socket.socket, socket.socket]) -> None:
    receive_end, send_end = ends
    client, server = socket.socketpair()
    with client:
        system.send_rights(send_end.fileno(), b"\2" + encode(PARCEL)[1:], server.fileno())
        give(send_end.fileno(), PARCEL, server.fileno())
        server.close()
        before = descriptors()
        with pytest.raises(ExchangeError, match="version 2"):
            take(receive_end.fileno())
        assert descriptors() == before
        taken = take(receive_end.fileno())
        assert taken is not None
        taken[1].close()


def put(send_end: socket.socket, data: bytes, *fds: int) -> None:
    """What a process of another generation may put into the exchange."""
    socket.send_fds(send_end, [data], list(fds))


@pytest.mark.parametrize("kind", ["file", "listener", "datagrams", "packets", "none", "two", "peer", "name", "empty"])
def test_what_is_no_connection_is_closed_and_the_exchange_goes_on(kind: str) -> None:
    receive_end, send_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    receive_end.setblocking(False)
    with socket.socket() as listener, socket.socket(type=socket.SOCK_DGRAM) as datagrams, open(os.devnull) as file:
        listener.listen(1)
        client, server = socket.socketpair()
        fds = {
            "file": [file.fileno()],
            "listener": [listener.fileno()],
            "datagrams": [datagrams.fileno()],
            "packets": [send_end.fileno()],
            "none": [],
            "two": [server.fileno()] * 2,
            "empty": [],
        }.get(kind, [server.fileno()])
        data = {
            "peer": encode(PARCEL._replace(peer="192.0.2.1:1\r\nX: y")),
            "name": struct.pack("<BBHQQIHH", 1, 0, 0, 0, 0, 0, 60_000, 0) + b"x" * 60_000,
            "empty": b"",
        }.get(kind, encode(PARCEL))
        put(send_end, data, *fds)
        give(send_end.fileno(), PARCEL, server.fileno())
        before = descriptors()
        with pytest.raises(ExchangeError, match="cannot take a connection"):
            take(receive_end.fileno())
        assert descriptors() == before
        taken = take(receive_end.fileno())
        assert taken is not None and taken[0].peer == PARCEL.peer
        for one in (taken[1], client, server, receive_end, send_end):
            one.close()


# SO_PASSPIDFD of asm-generic/socket.h
@pytest.mark.parametrize("option", [socket.SO_PASSCRED, 76], ids=["credentials", "a-pidfd"])
def test_what_others_have_the_kernel_add_is_no_descriptor_of_a_connection(option: int) -> None:
    receive_end, send_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    receive_end.setblocking(False)
    try:
        receive_end.setsockopt(socket.SOL_SOCKET, option, 1)
    except OSError:
        pytest.skip("this kernel does not know it")
    client, server = socket.socketpair()
    give(send_end.fileno(), PARCEL, server.fileno())
    before = descriptors()
    taken = take(receive_end.fileno())
    assert taken is not None and len(descriptors()) == len(before) + 1
    for one in (taken[1], client, server, receive_end, send_end):
        one.close()
