"""The master's side of the link: what waits for a supervisor that is slow to read, with its descriptors."""

from __future__ import annotations

import errno
import os

import pytest

from releve.server.prefork.outbox import Outbox, send_failure
from releve.server.shared import native
from releve.server.shared.link import Link, pair


def fill(outbox: Outbox) -> int:
    """Until a message waits; returns how many there are."""
    count = 0
    while not outbox.waiting:
        outbox.send({"type": "x", "n": count})
        count += 1
    return count


def read(outbox: Outbox, theirs: Link) -> tuple[list[int], list[int]]:
    """Everything that waits: the numbers of the messages, and the descriptors."""
    got: list[int] = []
    fds: list[int] = []
    more = True
    while more:
        outbox.flush()
        more = outbox.waiting
        for message, came in theirs.messages():
            got.append(message["n"])
            fds += came
    return got, fds


def test_keeps_the_order_and_the_descriptors_while_nobody_reads() -> None:
    ours, theirs = pair()
    outbox = Outbox(ours)
    read_end, write_end = os.pipe()
    for number in range(600):
        outbox.send({"type": "x", "n": number}, (read_end,) if number == 599 else ())
    assert outbox.waiting
    os.close(read_end)
    got, fds = read(outbox, theirs)
    assert got == list(range(600)) and not outbox.waiting
    os.write(write_end, b"y")
    assert os.read(fds[0], 1) == b"y"
    theirs.close()
    outbox.send({"type": "x"})
    assert outbox.broken
    outbox.close()
    for fd in (*fds, write_end):
        os.close(fd)


def refuse(fd: int) -> int:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_without_a_free_descriptor_a_message_waits_with_those_of_its_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pair()
    outbox = Outbox(ours)
    read_end, write_end = os.pipe()
    count = fill(outbox)
    with monkeypatch.context() as patch:
        patch.setattr(native.os, "dup", refuse)
        outbox.send({"type": "x", "n": count}, (read_end,))
        outbox.flush()
    outbox.flush()  # now it has its own
    os.close(read_end)
    got, fds = read(outbox, theirs)
    assert got == list(range(count + 1))
    os.write(write_end, b"y")
    assert os.read(fds[0], 1) == b"y"
    for fd in (*fds, write_end):
        os.close(fd)
    outbox.close()
    theirs.close()


@pytest.mark.parametrize("taken", [False, True])
def test_a_descriptor_that_its_sender_has_closed_meanwhile_is_not_sent(
    taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number may be another file's by then. What follows is sent."""
    ours, theirs = pair()
    outbox = Outbox(ours)
    read_end, write_end = os.pipe()
    other = os.open(os.devnull, os.O_RDONLY)
    count = fill(outbox)
    with monkeypatch.context() as patch:
        patch.setattr(native.os, "dup", refuse)
        outbox.send({"type": "x", "n": -1}, (read_end,))
    if taken:
        os.dup2(other, read_end)
    else:
        os.close(read_end)
    outbox.send({"type": "x", "n": count})
    got, fds = read(outbox, theirs)
    assert (got, fds) == (list(range(count + 1)), [])
    for fd in (write_end, other, *((read_end,) if taken else ())):
        os.close(fd)
    outbox.close()
    theirs.close()


def test_a_failure_that_no_supervisor_hears_of_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = pair()
    outbox = Outbox(ours)
    send_failure(outbox, {"reason": "no memory"})
    assert [message for message, _ in theirs.messages()] == [
        {"type": "failed", "step": "workers", "reason": "no memory", "traceback": ""}
    ]
    theirs.close()
    assert not caplog.records
    for _ in range(2):  # the first one finds that it has gone
        send_failure(outbox, {"step": "import", "reason": "no module", "traceback": "line 1"})
    assert [record.getMessage() for record in caplog.records] == ["no module\nline 1"] * 2
    outbox.close()
