"""One conversation, with a supervisor that says this and that and goes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from releve.ctl.conversation.client import ConversationLost, TimedOut, converse, has_ended, supervisor_pidfd
from releve.instance.protocol import LINE_MAX_BYTES, VERSION, Event

RESULT = {"event": "result", "status": 0, "message": "done"}


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours, and the supervisor's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        yield ours, theirs


def lines(*events: object) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def test_it_asks_once_shows_what_goes_on_and_returns_the_result(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    phases: list[Event] = [{"event": "phase", "phase": "boot"}, {"event": "phase", "phase": "switch"}]
    theirs.sendall(lines(*phases, RESULT, {"event": "phase", "phase": "after the end"}))
    shown: list[Event] = []
    assert converse(ours, "upgrade", {"watch": 1}, shown.append, 5.0) == RESULT
    assert shown == phases
    assert json.loads(theirs.recv(1000)) == {"version": VERSION, "verb": "upgrade", "arguments": {"watch": 1}}


def test_a_line_may_come_in_pieces(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    data = lines({"event": "phase"}, {**RESULT, "message": "x" * 100_000})
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    theirs.sendall(data[:10])
    theirs.sendall(data[10:])
    assert len(converse(ours, "status", {}, lambda event: None, 5.0)["message"]) == 100_000


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "the supervisor closed the connection without a result"),
        (lines(RESULT).rstrip(b"\n"), "the supervisor closed the connection without a result"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the answer is not one of a supervisor: cannot read a message"),
        (b"[]\n", "not a JSON object"),
        (lines({"event": "result"}), "the result has no exit status: None"),
        (lines({"event": "result", "status": True}), "the result has no exit status: True"),
        (lines({"event": "result", "status": 256}), "the result has no exit status: 256"),
    ],
)
def test_what_is_no_result_is_an_error(ends: tuple[socket.socket, socket.socket], said: bytes, why: str) -> None:
    ours, theirs = ends
    theirs.sendall(said)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(ConversationLost, match=why):
        converse(ours, "status", {}, lambda event: None, 5.0)


def test_a_line_without_end_is_not_kept() -> None:
    class Endless:
        def recv(self, most: int) -> bytes:
            return b"x" * most

        def sendall(self, data: bytes) -> None:
            pass

    sock: Any = Endless()
    with pytest.raises(ConversationLost, match=f"a message is longer than {LINE_MAX_BYTES} bytes"):
        converse(sock, "status", {}, lambda event: None, None)


def test_who_has_gone_cannot_be_asked(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.close()
    with pytest.raises(ConversationLost, match="the connection to the supervisor broke: broken pipe"):
        converse(ours, "status", {}, lambda event: None, 5.0)


@pytest.mark.parametrize("timeout_s", [0.0, 0.01])
def test_nobody_waits_longer_than_was_said(ends: tuple[socket.socket, socket.socket], timeout_s: float) -> None:
    ours, theirs = ends
    theirs.sendall(lines({"event": "phase"}))
    with pytest.raises(TimedOut, match=f"no result in {timeout_s:g} s"):
        converse(ours, "upgrade", {}, lambda event: None, timeout_s)


def test_the_end_of_who_listens_can_be_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "ctl.sock")
    code = "import socket, sys; s = socket.socket(1); s.bind(sys.argv[1]); s.listen(); print(flush=True); input()"
    with (
        subprocess.Popen(
            [sys.executable, "-S", "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other,
        socket.socket(socket.AF_UNIX) as client,
    ):
        assert other.stdout is not None and other.stdout.readline()
        assert supervisor_pidfd(client) is None  # nobody is at the other end
        client.connect(path)
        pidfd = supervisor_pidfd(client)
        assert pidfd is not None and not has_ended(pidfd, 0.0)
        other.communicate(b"\n")
        assert has_ended(pidfd, 10.0)
        os.close(pidfd)
