"""Several applications in one generation, for real: who answers, and what becomes of a release in which one of them is broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.service import Service, serving

API = """
def app(environ, start_response):
    start_response('200 OK', [])
    return [environ['SCRIPT_NAME'].encode(), b' ', environ['PATH_INFO'].encode()]
"""
MOUNTS = {"/api": "api:app", "": "app:application"}


def mounted(service: Service, name: str, **files: str) -> None:
    service.release(name, **files)
    service.flip(name)


@pytest.mark.parametrize("preload", ["auto", False])
def test_each_prefix_reaches_its_application_and_a_broken_one_refuses_the_release(tmp_path: Path, preload: object) -> None:
    with serving(tmp_path, start=False, mounts=MOUNTS, preload=preload) as service:
        del service.settings["app"]
        mounted(service, "one", api=API)
        service.configure()
        service.start()
        assert service.get("/api/x?y") == b"/api /x"
        assert service.get("/api") == b"/api "
        assert json.loads(service.get("/release"))["release"] == "one"
        mounted(service, "two", api="raise ValueError('no database')\n")
        failed = service.ctl("upgrade")
        assert failed.returncode == 4
        assert "releve.yaml:" in failed.stdout + failed.stderr
        assert "cannot mount api:app at /api: cannot import api: ValueError: no database" in failed.stdout + failed.stderr
        assert service.get("/api/x") == b"/api /x"


def test_an_isolated_one_answers_503_for_its_prefix_only(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, mounts=MOUNTS, on_app_error="isolate") as service:
        del service.settings["app"]
        mounted(service, "one", api=API)
        service.configure()
        service.start()
        mounted(service, "two", api="raise ValueError('no database')\n")
        done = service.ctl("upgrade")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "cannot mount api:app at /api" in done.stdout + done.stderr
        assert service.request("GET", "/api/x")[0] == 503
        assert json.loads(service.get("/release"))["release"] == "two"
        assert "answers 503" in service.ctl("status").stdout
