"""On call: workers that crash, and requests that fail. Each row of ``docs/on-call.md`` shows what it says."""

from __future__ import annotations

import contextlib
import http.client
import re
from pathlib import Path

from harness.on_call import rows, troubled


def test_workers_crash_again_and_again(tmp_path: Path) -> None:
    with troubled(tmp_path, workers=1) as service:
        for _ in range(3):
            with contextlib.suppress(OSError, http.client.HTTPException):
                service.request("GET", "/crash")
        line = rows()["workers crash again and again"].awaited(service)
        assert line.endswith(" was killed by SIGABRT while serving GET /crash")
        assert "losses" in service.ctl("status").stdout
        assert re.search(r'File ".*app\.py", line \d+ in crash', service.ctl("logs", "--level", "error").stdout)
        assert service.log().count(" degraded: ") == 1


def test_a_storm_of_errors(tmp_path: Path) -> None:
    with troubled(tmp_path, workers=2) as service:
        service.get("/")
        for _ in range(20):
            assert service.request("GET", "/fail")[0] == 500
        row = rows()["a storm of 5xx"]
        assert row.awaited(service).startswith("serving, failing: 20 of 21 requests in the last ")
        assert "failing: 20 of 21 requests" in service.ctl("doctor").stdout
        assert "RuntimeError: no such table: shop" in service.must("logs", "--level", "error")
        assert service.log().count(" failing: ") == 1
