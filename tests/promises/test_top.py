"""``ctl top`` of a running service: what it counts is what clients have asked."""

from __future__ import annotations

import json
from pathlib import Path

from harness.service import serving


def test_what_clients_ask_is_counted(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as service:
        watching = service.begin_ctl("top", "--json", "--interval", "0.2", "-n", "1000")
        assert watching.stdout is not None
        try:
            counted, durations = 0, set()
            assert json.loads(watching.stdout.readline())["generations"][0]["active"] is True
            asked = 25
            for _ in range(asked):
                service.request("GET", "/release")
            while counted < asked:
                said = json.loads(watching.stdout.readline())
                counted += said["requests"]
                durations.add(said["p99_s"])
            assert durations - {None}, "they are known"
            service.do("reexec", wait=True)
            service.do("upgrade", wait=True)
            while said.get("generations", [{}])[-1].get("generation") != 2:
                said = json.loads(watching.stdout.readline())
        finally:
            watching.terminate()
            watching.communicate(timeout=20)
