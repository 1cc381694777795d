"""What a message must say, what it may say, and what comes with it."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from releve.server.shared import form
from releve.server.shared.form import Form, Kind, Read, Unfit, check, read

FORMS = {
    "gone": Form({"worker": form.whole(1)}, {"reason": form.text(5)}),
    "boot": Form(brings=[("memory", form.is_memory())]),
}


def test_what_is_not_named_is_passed_on_and_null_is_absent() -> None:
    said = {"type": "gone", "worker": 1, "reason": None, "later": {"x": 1}}
    assert read(FORMS, said, []) == {"type": "gone", "worker": 1, "later": {"x": 1}}


@pytest.mark.parametrize("kind", ["unheard", None, 7, ["gone"]])
def test_a_type_that_is_not_named_is_nobodys_business(kind: Any) -> None:
    assert read(FORMS, {"type": kind}, []) is None


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"type": "gone"}, "gone without worker"),
        ({"type": "gone", "worker": None}, "gone without worker"),
        ({"type": "gone", "worker": 0}, "gone whose worker is not a whole number from 1 to"),
        ({"type": "gone", "worker": 1, "reason": "longer"}, "gone whose reason is not a text of at most 5 characters"),
        ({"type": "boot"}, "boot with 0 descriptors, not 1"),
    ],
)
def test_what_is_wrong_is_said(message: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        read(FORMS, message, [])


@pytest.mark.parametrize(
    ("fit", "value", "expected"),
    [
        (form.whole(1, 3), 3, 3),
        (form.number(), 2, 2.0),
        (form.seconds, form.WAIT_MAX_S, form.WAIT_MAX_S),
        (form.text(), "a\udc80", "a\\udc80"),
        (form.path, "/srv/\udc80", "/srv/\udc80"),
        (form.word, "worker-2 x", "worker-2 x"),
        (form.flag, False, False),
        (form.several(form.whole()), [0, 1], [0, 1]),
    ],
)
def test_what_is_fit(fit: Read, value: Any, expected: Any) -> None:
    found = fit(value)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("fit", "values"),
    [
        (form.whole(1, 3), [0, 4, True, 1.0, "1", None]),
        (form.number(), [-0.1, math.nan, math.inf, 10**400, True, "1"]),
        (form.seconds, [form.WAIT_MAX_S + 1]),
        (form.text(2), ["abc", b"ab", None]),
        (form.path, ["a\0b", "a" * (form.PATH_MAX + 1), "\ud800", 7]),
        (form.word, ["", "Word", "1x", "w" * 41, "a\n", None]),
        (form.flag, [0, 1, "true", None]),
        (form.several(form.whole(), 2), [[1, 2, 3], [-1], "ab", (1,), None]),
    ],
)
def test_what_is_not(fit: Read, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(Unfit):
            fit(value)


@pytest.fixture
def descriptors() -> Iterator[dict[str, int]]:
    """One of each kind."""
    with contextlib.ExitStack() as stack:
        stream, listening, unbound = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(3))
        listening.bind("")
        listening.listen()
        stream.connect(listening.getsockname())
        packets, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        file = stack.enter_context(tempfile.TemporaryFile(dir="/var/tmp"))
        made = {
            "memory": os.memfd_create("x"),
            "process": os.pidfd_open(os.getpid()),
            "folder": os.open("/", os.O_PATH),
        }
        for one in (packets, other):
            stack.enter_context(one)
        for fd in made.values():
            stack.callback(os.close, fd)
        yield {
            **made,
            "stream": stream.fileno(),
            "unbound": unbound.fileno(),
            "listening": listening.fileno(),
            "packets": packets.fileno(),
            "file": file.fileno(),
        }


@pytest.mark.parametrize(
    ("kind", "are"),
    [
        (form.is_stream, {"stream", "unbound"}),
        (form.is_packets, {"packets"}),
        (form.is_memory(), {"memory"}),
        (form.is_memory(least=1), set()),
        (form.is_file, {"file", "memory"}),
        (form.is_pidfd, {"process"}),
    ],
)
def test_a_descriptor_is_what_it_is_taken_for(kind: Kind, are: set[str], descriptors: dict[str, int]) -> None:
    assert {name for name, fd in descriptors.items() if kind(fd)} == are


def test_a_descriptor_that_is_none_or_another_is_refused(descriptors: dict[str, int]) -> None:
    with pytest.raises(Unfit, match="a descriptor that is not a file"):
        check(descriptors["process"], "file", form.is_file)
    with pytest.raises(Unfit, match="a descriptor that cannot be examined: Bad file descriptor"):
        check(1 << 20, "file", form.is_file)
