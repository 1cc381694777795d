"""A crash in C: the stack of the thread that crashed is in log, history and status, whoever asked faulthandler for
what.
"""

from __future__ import annotations

import contextlib
import http.client
from pathlib import Path
from typing import Any

import pytest

from harness.service import Service, eventually, serving

CRASHES = """
{before}
import ctypes
from app import application as tests
def parse_image():
    ctypes.string_at(1)
def application(environ, start_response):
    if environ["PATH_INFO"] == "/crash":
        parse_image()
    return tests(environ, start_response)
"""


def crash(service: Service) -> None:
    """A request at which its worker crashes."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        service.request("GET", "/crash")


def crashed(service: Service, number: int = 1) -> list[dict[str, Any]]:
    """The crashes of the generation in service, once there are so many and their workers are replaced."""

    def known() -> list[dict[str, Any]]:
        one = service.generation()
        return one["crashes"] if len(one["crashes"]) == number and len(service.workers()) == 2 else []

    found: list[dict[str, Any]] = eventually(known, f"{number} crashes are known")
    return found


@pytest.mark.parametrize("threads", [1, 4])
def test_the_stack_of_the_thread_that_crashed_is_everywhere(tmp_path: Path, threads: int) -> None:
    """Also of the second crash, and no other thread's; and under the supervisor that follows."""
    with serving(tmp_path, start=False, app="crashes:application", threads=threads, log={"level": "error"}) as service:
        service.release("one", crashes=CRASHES.format(before=""))
        service.start()
        crash(service)
        first = crashed(service)[0]
        assert "was killed by SIGSEGV while serving GET /crash" in first["what"]
        assert first["stack"].startswith("Fatal Python error: Segmentation fault")
        assert (
            first["stack"].splitlines()[-2].endswith("in parse_image")
            and "in string_at" in first["stack"].splitlines()[-1]
        )
        assert "threading.py" not in first["stack"] and "/server/" not in first["stack"]
        crash(service)
        assert all("in parse_image" in one["stack"] for one in crashed(service, 2))
        assert service.log().count("in parse_image") == 2 and "most recent call first" not in service.log()
        entry = service.ask("history")["entries"][0]
        assert (entry["verb"], entry["crashed"]) == ("start", 2) and "in parse_image" in entry["crashes"][1]["stack"]
        assert "in parse_image" in service.must("status") and "2 crashes since" in service.must("history")
        if threads == 1:
            service.do("reexec")
        else:
            service.kill_supervisor()
        assert "in parse_image" in service.ask("history")["entries"][0]["crashes"][1]["stack"]
        before = crashed(service, 2)
        assert "in parse_image" in before[1]["stack"]
        crash(service)
        assert crashed(service, 3)[:2] == before
        assert service.ask("history")["entries"][0]["crashed"] == 3


@pytest.mark.parametrize("way", ["environment", "application"])
def test_what_the_applications_own_faulthandler_writes_is_kept(tmp_path: Path, way: str) -> None:
    """All threads, as on any other server; and the one that crashed is in the status all the same."""
    with serving(tmp_path, start=False, app="crashes:application", threads=4) as service:
        if way == "environment":
            service.environment["PYTHONFAULTHANDLER"] = "1"
        service.release(
            "one",
            crashes=CRASHES.format(before="import faulthandler; faulthandler.enable()" if way == "application" else ""),
        )
        service.start()
        crash(service)
        assert "in parse_image" in crashed(service)[0]["stack"]
        log = service.log()
        assert "in parse_image" in log and "Current thread 0x" in log and log.count("most recent call first") > 4


def test_a_file_of_its_own_gets_what_faulthandler_writes(tmp_path: Path) -> None:
    """In a worker too, where it is imported; the status says where the stack is."""
    own = tmp_path / "own"
    with serving(tmp_path, start=False, app="crashes:application", preload=False) as service:
        service.release(
            "one", crashes=CRASHES.format(before=f"import faulthandler; faulthandler.enable(open({str(own)!r}, 'a'))")
        )
        service.start()
        crash(service)
        assert (
            crashed(service)[0]["stack"] == "(no stack: the application's own faulthandler writes it, to another file)"
        )
        assert "in parse_image" in own.read_text()


def test_the_evidence_of_a_probation_is_the_thread_that_crashed(tmp_path: Path) -> None:
    with serving(tmp_path, threads=4) as service:
        service.release("two", crashes=CRASHES.format(before=""))
        service.flip("two")
        service.configure(app="crashes:application", upgrade={"probation": "60s"})
        service.do("upgrade", wait=False)
        eventually(
            lambda: (service.status()["service"]["operation"] or {}).get("phase") == "probation", "it is on trial"
        )
        crash(service)
        eventually(lambda: service.status()["service"]["operation"] is None, "it is judged")
        last = service.ask("history")["entries"][-1]
        assert last["outcome"] == "rolled back" and "in parse_image" in last["traceback"]
