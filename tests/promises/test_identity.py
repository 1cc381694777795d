"""Started as root, masters and workers run as somebody else, and a release's interpreter never runs as root."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest

from harness.pythons import usable
from harness.service import serving

SYSTEM_PYTHON = "/usr/bin/python3"

WHO = """
import json, os
AT_IMPORT = os.getuid()
def application(environ, start_response):
    told = {"at import": AT_IMPORT, "user": os.getuid(), "group": os.getgid(), "groups": os.getgroups(),
            "umask": os.umask(0o22), "home": os.environ.get("HOME")}
    os.umask(told["umask"])
    body = json.dumps(told).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user"),
    pytest.mark.skipif(not usable(SYSTEM_PYTHON), reason=f"{SYSTEM_PYTHON} is not Python 3.11 or later"),
]


def test_workers_run_as_the_user_of_the_settings(open_folder: Path) -> None:
    with serving(open_folder, start=False, python=SYSTEM_PYTHON, user="nobody", umask="0027", preload=True) as service:
        service.release("one", app=WHO)
        service.start()
        for _ in range(2):
            status, body = service.request("GET", "/")
            told = json.loads(body)
            assert status == 200
            assert told["at import"] == told["user"] == 65534
            assert 0 not in (told["group"], *told["groups"])
            assert told["umask"] == 0o27
            assert told["home"] == "/nonexistent"
            assert psutil.Process(service.generation()["pid"]).uids().real == 65534
            service.do("upgrade")


def test_an_unknown_user_is_refused_and_what_serves_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        before = service.workers()
        service.configure(user="nobody-of-that-name")
        refused = service.ctl("upgrade")
        assert refused.returncode == 4
        assert "there is no such user" in refused.stderr
        assert service.workers() == before
        service.configure(user=None)
