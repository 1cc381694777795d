"""What a receiver may be sent: values of any form, and descriptors of any kind."""

from __future__ import annotations

import os
import socket

from hypothesis import strategies as st

LIKELY = ["serving", "order", 2**31, 2**63, -1]
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(LIKELY)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def make_descriptor(kind: str) -> int:
    """One of a kind, made by a release: the test's own to close."""
    if kind == "file":
        return os.open("/dev/null", os.O_RDWR)
    if kind == "memory":
        return os.memfd_create("x")
    if kind == "process":
        return os.pidfd_open(os.getpid())
    if kind == "folder":
        return os.open("/", os.O_RDONLY)
    if kind == "pipe":
        read_end, write_end = os.pipe()
        os.close(write_end)
        return read_end
    family, type_ = {
        "packets": (socket.AF_UNIX, socket.SOCK_SEQPACKET),
        "stream": (socket.AF_UNIX, socket.SOCK_STREAM),
        "datagrams": (socket.AF_INET, socket.SOCK_DGRAM),
        "listener": (socket.AF_INET, socket.SOCK_STREAM),
    }[kind]
    sock = socket.socket(family, type_)
    if kind == "listener":
        sock.listen(1)
    return sock.detach()


KINDS = ("file", "memory", "process", "folder", "pipe", "packets", "stream", "datagrams", "listener")
