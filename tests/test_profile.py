"""The profile of a worker, which is made of parts of the server put together by hand, still runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "profile_worker.py"


def test_the_profile_of_a_worker() -> None:
    shown = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=120, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "all of it, from recv to send" in shown.stdout
