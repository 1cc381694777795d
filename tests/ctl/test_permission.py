"""``ctl`` of a user who may not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_permission_denied(fake: Callable[..., Any], tmp_path: Path, environ: dict[str, str]) -> None:
    server = fake({"send": {"event": "result", "status": 0, "message": "fine"}})
    os.chmod(server.path, 0o600)
    code = f"""
import os, sys
import releve.ctl.main, releve.ctl.screens.progress
os.setgid(65534); os.setuid(65534); os.chdir("/")
sys.exit(releve.ctl.main.run(["--socket", {str(server.path)!r}, "upgrade"]))
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, env=environ, cwd="/", check=False
    )
    assert ended.returncode == 1
    assert (
        ended.stderr.endswith("permission denied; use the user that runs the service, or root\n")
        and "Traceback" not in ended.stderr
    )
