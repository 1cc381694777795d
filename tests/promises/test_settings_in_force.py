"""``ctl config`` shows what the generation in service runs with, whatever stands in the file; also after a kill -9."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from harness.service import eventually, serving


def test_what_is_in_force(tmp_path: Path) -> None:
    with serving(tmp_path, threads=3) as service:
        line = next(
            number for number, text in enumerate(service.file.read_text().splitlines(), 1) if text.startswith("threads")
        )
        written = f"{service.file}:{line}"

        def threads() -> list[str]:
            return next(row.split() for row in service.must("config").splitlines() if row.startswith("threads"))

        assert threads() == ["threads", written, "3"]
        assert "limits.head" not in service.must("config") and "limits.head" in service.must("config", "--all")
        service.configure(threads=5)
        assert threads()[2] == "3", "it is not applied yet"
        service.do("reload", wait=True)
        assert threads() == ["threads", written, "5"]
        before = service.status()["service"]["pid"]
        os.kill(before, signal.SIGKILL)
        service.killed = True

        def followed() -> bool:
            try:
                return bool(service.status()["service"]["pid"] != before)
            except OSError:
                return False

        eventually(followed, "another supervisor has come")
        assert threads() == ["threads", written, "5"]
