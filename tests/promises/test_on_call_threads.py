"""On call: threads that wait, and threads that compute. Each row of ``docs/on-call.md`` shows what it says."""

from __future__ import annotations

import os
from pathlib import Path

from harness.on_call import asking, rows, sampled, troubled
from harness.service import eventually


def test_the_database_hangs(tmp_path: Path) -> None:
    database = tmp_path / "database"
    os.mkfifo(database)
    with troubled(tmp_path, workers=1, threads=2) as service:
        with asking(service, *[f"/query_the_database?{database}"] * 4):
            row = rows()["the database hangs"]
            assert row.awaited(service).startswith("serving, saturated: all 2 threads busy for ")
            assert service.must("dump", "1").count(" in query_the_database\n") == 2
            doctor = service.ctl("doctor").stdout
            assert "saturated: all 2 threads busy for " in doctor and "do: ctl workers shows" in doctor
            waits = os.open(database, os.O_WRONLY)  # it answers
            eventually(lambda: service.status()["service"]["load"]["busy"] == 0, "all have their answers")
            os.close(waits)
        assert service.log().count(" saturated: ") == 1
        assert row.shown(service) == []


def test_the_application_deadlocks(tmp_path: Path) -> None:
    row = rows()["the application deadlocks"]
    with (
        troubled(tmp_path, workers=1, threads=2, timeouts={"drain": "1s"}) as service,
        asking(service, "/first_then_second", "/second_then_first"),
    ):
        eventually(lambda: len(row.shown(service)) == 2, "both are shown")
        stacks = service.must("dump", "1")
        assert " in first_then_second\n" in stacks and " in second_then_first\n" in stacks
        service.must("restart", "1")
        assert service.get("/") == b""
        service.must("stop", "--now")


def test_one_worker_computes(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    row = rows()["one worker is at 100 %"]
    with troubled(tmp_path, workers=2, threads=2) as service, asking(service, f"/compute?{gate}"):
        used = {one["worker"]: one["cpu_percent"] for one in sampled(service, percent=20)}
        hot = max(used, key=used.__getitem__)
        assert any(line.startswith(f"1.{hot} ") for line in row.shown(service))
        assert " in compute\n" in service.must("dump", f"1.{hot}")
        gate.unlink()
        eventually(lambda: service.status()["service"]["load"]["busy"] == 0, "it has its answer")
