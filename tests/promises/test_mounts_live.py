"""Several applications in one generation, for real: who answers, and what becomes of a release in which one of them is
broken.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.service import PYTHON, Service, serving

API = """
def app(environ, start_response):
    start_response('200 OK', [])
    return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode("latin-1")]
"""
# What a client writes, who answers, and with which SCRIPT_NAME and PATH_INFO (as UTF-8 read byte by byte).
WRITTEN = [
    ("/api", "/api "),
    ("/api/", "/api /"),
    ("/api?x=/y", "/api "),
    ("/%61pi/x%20y", "/api /x y"),
    ("/api%2Fx", "/api /x"),
    ("/api/a%2Fb", "/api /a/b"),
    ("/api//x/../y", "/api //x/../y"),
    ("/caf%C3%A9/x", "/caf\u00e9 /x"),
    ("http://localhost/api/x", "/api /x"),
]
ELSEWHERE = ["/apix", "//api", "/API", "/", "/api%20", "/./api", "/caf%E9/x"]
MOUNTS = {"/api": "api:app", "/caf\u00e9": "api:app", "": "app:application"}


def mounted(service: Service, name: str, **files: str) -> None:
    service.release(name, **files)
    service.flip(name)


@pytest.mark.parametrize("preload", ["auto", False])
def test_each_prefix_reaches_its_application_and_a_broken_one_refuses_the_release(
    tmp_path: Path, preload: object
) -> None:
    with serving(tmp_path, start=False, mounts=MOUNTS, preload=preload) as service:
        del service.settings["app"]
        mounted(service, "one", api=API)
        service.configure()
        service.start()
        assert service.get("/api/x?y") == b"/api /x"
        assert service.get("/api") == b"/api "
        assert json.loads(service.get("/release"))["release"] == "one"
        for target, answer in WRITTEN:
            assert service.get(target).decode() == answer, target
        for target in ELSEWHERE:
            assert not service.request("GET", target)[1].startswith((b"/api ", "/caf\u00e9 ".encode())), target
        mounted(service, "two", api="raise ValueError('no database')\n")
        failed = service.ctl("upgrade")
        assert failed.returncode == 4
        assert "releve.yaml:" in failed.stdout + failed.stderr
        assert (
            "cannot mount api:app at /api: cannot import api: ValueError: no database" in failed.stdout + failed.stderr
        )
        assert service.get("/api/x") == b"/api /x"


def test_conflicts_are_found_by_check(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, mounts=MOUNTS, include="conf.d/*.yaml") as service:
        del service.settings["app"]
        service.configure()
        (tmp_path / "conf.d").mkdir()
        (tmp_path / "conf.d" / "more.yaml").write_text("mounts:\n  /api: other:app\n")
        done = subprocess.run(
            [PYTHON, "-m", "releve", "check", "-c", str(service.file)], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 2
        assert "conf.d/more.yaml:2:3: cannot use '/api' in mounts twice: it is at" in done.stdout + done.stderr


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
