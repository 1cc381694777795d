"""Where the lines of a service go, as its supervisor finds it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from releve.config.settings.log import Log
from releve.supervisor.inspection import logs
from releve.supervisor.systemd import systemctl


def test_files_are_named_by_the_settings() -> None:
    settings = Log(file="/var/log/a.log", access="/var/log/b.log")
    assert logs.messages(settings) == {"to": "file", "path": "/var/log/a.log"}
    assert logs.access(settings) == {"to": "file", "path": "/var/log/b.log"}
    assert logs.access(Log(access=None)) == {"to": "off"}


def test_what_a_stream_leads_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(fd: int, environ: dict[str, str] | None = None) -> dict[str, object]:
        found = logs.stream(fd, environ or {})
        os.close(fd)
        return found

    path = tmp_path / "out"
    assert of(os.open(path, os.O_WRONLY | os.O_CREAT)) == {"to": "file", "path": str(path)}
    assert of(os.open("/dev/null", os.O_WRONLY)) == {"to": "nowhere", "path": "/dev/null"}
    read, write = os.pipe()
    os.close(read)
    found = os.fstat(write)
    monkeypatch.setattr(systemctl, "_group", lambda: "0::/system.slice/shop.service\n")
    environ = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}", "INVOCATION_ID": "1"}
    assert logs.stream(write, environ) == {"to": "journal", "unit": "shop.service", "user": False}
    assert of(write) == {"to": "pipe"}
    master, terminal = os.openpty()
    name = os.ttyname(terminal)
    assert of(terminal) == {"to": "terminal", "path": name}
    os.close(master)
    assert logs.stream(-1, {}) == {"to": "closed"}
