"""The accept queue of a listener: clients that are connected, and that nobody has accepted yet."""

from __future__ import annotations

import os
import socket
import struct

from releve.config.frozen import dataclass

# struct tcp_info of linux/tcp.h: eight bytes, then numbers of four. Of a listening socket, tcpi_unacked is the length
# of its queue and tcpi_sacked the most that it holds (tcp_get_info in net/ipv4/tcp.c).
_TCP_INFO = struct.Struct("=8B6I")
_UNACKED, _SACKED = 12, 13
# sock_diag(7): struct nlmsghdr, struct unix_diag_req; the answer has attributes behind a struct unix_diag_msg.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_REQUEST = struct.Struct("=BBHIIIII")  # family, protocol, padding, states, inode, what to show, cookie (any)
_MESSAGE_BYTES = 16
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_LENGTHS = struct.Struct("=II")
_NLM_F_REQUEST, _UDIAG_SHOW_RQLEN, _UNIX_DIAG_RQLEN, _LISTENING = 1, 0x10, 4, 1 << 10
_ANY = 0xFFFF_FFFF
_ANSWER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class AcceptQueue:
    """How many clients wait in it, and how many fit."""

    waiting: int
    most: int


def accept_queue(sock: socket.socket) -> AcceptQueue | None:
    """That of a listening socket; None where the kernel does not tell."""
    try:
        return _unix(sock) if sock.family == socket.AF_UNIX else _tcp(sock)
    except (OSError, struct.error):
        return None


def _tcp(sock: socket.socket) -> AcceptQueue:
    numbers = _TCP_INFO.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    return AcceptQueue(numbers[_UNACKED], numbers[_SACKED])


def _unix(sock: socket.socket) -> AcceptQueue | None:
    inode = os.fstat(sock.fileno()).st_ino & _ANY
    asked = _REQUEST.pack(socket.AF_UNIX, 0, 0, _LISTENING, inode, _UDIAG_SHOW_RQLEN, _ANY, _ANY)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as kernel:
        kernel.setblocking(False)  # the answer is there when the request is sent
        kernel.send(_HEADER.pack(_HEADER.size + len(asked), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + asked)
        answer = kernel.recv(_ANSWER_BYTES)
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
        return None  # an error: the kernel has no unix_diag
    at = _HEADER.size + _MESSAGE_BYTES
    while at + _ATTRIBUTE.size <= len(answer):
        length, kind = _ATTRIBUTE.unpack_from(answer, at)
        if kind == _UNIX_DIAG_RQLEN:
            return AcceptQueue(*_LENGTHS.unpack_from(answer, at + _ATTRIBUTE.size))
        at += max(_ATTRIBUTE.size, -(-length // 4) * 4)
    return None
