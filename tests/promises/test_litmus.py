"""Promise: a WebDAV server (WsgiDAV) does all that its clients may ask, in the middle of an upgrade too."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.service import serving

pytest.importorskip("wsgidav")

APP = Path(__file__).parents[1] / "harness" / "dav.py"
PROGRAMS = ("basic", "copymove", "props", "locks", "http")


@pytest.mark.soak
def test_wsgidav_passes_litmus_through_upgrades(tmp_path: Path) -> None:
    litmus = shutil.which("litmus")
    if litmus is None:
        pytest.skip("litmus is not installed")
    (folder := tmp_path / "files").mkdir()
    settings: dict[str, Any] = {"app": "dav:application", "env": {"DAV": str(folder)}, "log": {"access": "off"}}
    with serving(tmp_path / "service", start=False, **settings) as service:
        service.release("one", dav=APP.read_text())
        service.start()
        changes = itertools.cycle(("upgrade", "rollback", "upgrade", "reload"))
        for _ in range(6):
            # its programs, one after the other, for a second or two
            command = [litmus, f"http://127.0.0.1:{service.port}/"]
            with subprocess.Popen(
                command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as client:
                while client.poll() is None:
                    service.must(next(changes))
                output, _ = client.communicate(timeout=60)
            assert client.returncode == 0, output
            assert all(f"summary for `{program}'" in output for program in PROGRAMS), output
            assert output.count(" 0 failed") == len(PROGRAMS), output
