"""A memory file that is sealed says one thing for good."""

from __future__ import annotations

import fcntl
import json
import os

import pytest

from harness.descriptors import descriptors
from releve.supervisor.host import memory


def test_it_can_be_read_by_whoever_has_it_and_changed_by_nobody() -> None:
    fd = memory.written("keepsake", {"größe": [1, None]})
    assert not os.get_inheritable(fd)
    assert json.loads(os.pread(fd, 1000, 0)) == {"größe": [1, None]}
    for change in (lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, 1), lambda: os.ftruncate(fd, 1000)):
        with pytest.raises(PermissionError):
            change()
    with pytest.raises(PermissionError):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)  # no more of them
    os.close(fd)


def test_what_cannot_be_written_or_sealed_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptors()
    with pytest.raises(TypeError):
        memory.written("keepsake", object())
    monkeypatch.setattr(memory, "_SEALS", 1 << 20)  # none that there is
    with pytest.raises(OSError, match="Invalid argument"):
        memory.written("keepsake", 1)
    assert descriptors() == before
