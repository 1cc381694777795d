"""The exchange: connections that change hands, one to a message (``docs/protocol.md``, "The exchange").

Pure encoding and decoding, and two calls: ``give`` and ``take``. Who may give
and when is ``handover.py``; who takes is ``acceptor.py``.
"""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple

from releve.server.loop.connection import REST_MAX_BYTES
from releve.server.shared import closing, form, system
from releve.server.shared.form import Unfit
from releve.server.shared.link import has_ended
from releve.server.shared.native import socket, time

VERSION = 1
# since its last request; then it is kept. A connection moves once per switch, so only a ping-pong comes there
HOPS_MAX = 1000
_FIXED = struct.Struct("<BBHQQIHH")  # version, flags, hops, sent_ns, deadline_ns, requests, bytes of listener, of peer
_FRESH, _OWES_PREFACE, _ANONYMOUS = 1, 2, 4  # flags
_TEXT_MAX_BYTES = 1024
MESSAGE_MAX_BYTES = 64 * 1024  # more than any giver sends, of any version so far
# of `take`, which one thread calls at a time: made once, it costs a message 4 µs less
_space = bytearray(MESSAGE_MAX_BYTES)
_view = memoryview(_space)

# What a failed `give` means to the giver; any other error: keep that connection.
FULL = frozenset({errno.EAGAIN})  # wait until the exchange can be written
# try again soon; nothing announces the end of it
CROWDED = frozenset({errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM})
BROKEN = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN})  # nobody will ever take: keep all


class ExchangeError(Exception):
    """What came out of the exchange is not a connection that can be served."""


class Parcel(NamedTuple):
    """What travels beside the descriptor of a connection. A tuple, since ten thousand are made twice in one switch."""

    listener: str  # its name, `str(Address)`
    peer: str  # host:port, or empty
    hops: int  # how often it was handed over since its last request, this time included
    deadline_ns: int  # CLOCK_MONOTONIC, the end of its keepalive or header timeout
    requests: int = 0  # answered on it so far
    fresh: bool = False  # no request was read on it yet
    rest: bytes = b""  # already read of the next request
    sent_ns: int = 0  # CLOCK_MONOTONIC; set by `encode`
    owes_preface: bool = False  # its PROXY protocol header is not read yet; `rest` may hold the beginning
    anonymous: bool = False  # that header named no client


def encode(parcel: Parcel) -> bytes:
    """The message for a parcel, sent now. Raises ExchangeError if it cannot be one."""
    listener, peer = parcel.listener.encode(), parcel.peer.encode()
    if len(parcel.rest) > REST_MAX_BYTES or max(len(listener), len(peer)) > _TEXT_MAX_BYTES:
        raise ExchangeError("cannot give a connection: it does not fit in one message")
    fixed = _FIXED.pack(
        VERSION,
        _FRESH * parcel.fresh | _OWES_PREFACE * parcel.owes_preface | _ANONYMOUS * parcel.anonymous,
        parcel.hops,
        time.monotonic_ns(),
        max(0, parcel.deadline_ns),
        min(parcel.requests, 0xFFFFFFFF),
        len(listener),
        len(peer),
    )
    return fixed + listener + peer + parcel.rest


def decode(data: bytes) -> Parcel:
    """The parcel of a message. Raises ExchangeError on a newer version or what is not a message."""
    if len(data) < _FIXED.size:
        raise ExchangeError(f"cannot take a connection: {len(data)} bytes are too few")
    version, flags, hops, sent_ns, deadline_ns, requests, listener_bytes, peer_bytes = _FIXED.unpack_from(data)
    if version != VERSION:
        raise ExchangeError(f"cannot take a connection: exchange version {version}, this release knows {VERSION}")
    if max(listener_bytes, peer_bytes) > _TEXT_MAX_BYTES:
        raise ExchangeError("cannot take a connection: one of its names is too long")
    texts = data[_FIXED.size : _FIXED.size + listener_bytes + peer_bytes]
    if len(texts) != listener_bytes + peer_bytes:
        raise ExchangeError("cannot take a connection: the message was cut")
    try:
        listener, peer = texts[:listener_bytes].decode(), texts[listener_bytes:].decode()
    except UnicodeDecodeError as error:
        raise ExchangeError(f"cannot take a connection: {error}") from error
    if not peer.isprintable():  # it goes into environ and logs
        raise ExchangeError("cannot take a connection: its peer is not an address")
    rest = data[_FIXED.size + len(texts) :]
    return Parcel(
        listener,
        peer,
        hops,
        deadline_ns,
        requests,
        bool(flags & _FRESH),
        rest,
        sent_ns,
        owes_preface=bool(flags & _OWES_PREFACE),
        anonymous=bool(flags & _ANONYMOUS),
    )


def give(send_end: int, parcel: Parcel, connection: int) -> None:
    """Send a connection's descriptor; after success the caller closes its own, and never shuts it down.

    The caller has unregistered it from epoll (the description lives on, and would
    fire for ever). Raises OSError (see ``FULL``, ``CROWDED``, ``BROKEN``; in every
    case the connection is still the caller's), ExchangeError as ``encode``.
    """
    system.send_rights(send_end, encode(parcel), connection)


def take(receive_end: int) -> tuple[Parcel, socket.socket] | None:
    """The next connection, non-blocking; None if none is waiting.

    Raises OSError: EMFILE before anything is taken when no descriptor is free, and
    ENOTCONN at the end of the exchange. Raises ExchangeError when a message was
    taken and cannot be served; its connection is closed.
    """
    system.probe_descriptor(receive_end)
    try:
        length, fds, whole = system.receive_rights(receive_end, _space)
    except BlockingIOError:
        return None
    if not length and not fds and has_ended(receive_end):
        raise OSError(errno.ENOTCONN, "the exchange has ended")
    try:
        if not whole or len(fds) != 1:
            raise ExchangeError(f"cannot take a connection: the message was cut, or brought {len(fds)} descriptors")
        parcel = decode(bytes(_view[:length]))
        form.check(fds[0], "connection", form.is_stream)
        connection = socket.socket(-1, socket.SOCK_STREAM, 0, fds[0])  # the type told, which asks for less
    except (ExchangeError, Unfit, OSError) as error:
        closing.close(fds)
        raise (
            error if isinstance(error, ExchangeError) else ExchangeError(f"cannot take a connection: {error}")
        ) from error
    connection.setblocking(False)
    return parcel, connection
