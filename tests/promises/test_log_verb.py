"""``ctl logs`` of a running service: its files, what is asked for of them, and where nobody keeps the lines."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from harness.service import eventually, serving

APP = """
def application(environ, start_response):
    print("asked for", environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""


def test_the_files_of_a_service(tmp_path: Path) -> None:
    log, access = tmp_path / "shop.log", tmp_path / "access.log"
    logs = {"file": str(log), "access": str(access)}
    with serving(tmp_path, start=False, workers=1, log=logs) as service:
        service.release("one", app=APP)
        service.start()
        service.request("GET", "/one")
        eventually(lambda: "/one" in access.read_text(), "the access line is written")
        shown = service.must("logs")
        assert "start 1 " in shown and "asked for /one" in shown and "GET /one" not in shown
        assert service.must("logs", "--access").count("GET /one") == 1
        [line] = service.must("logs", "--worker", "1.1", "-n", "1", "--json").splitlines()
        said = json.loads(line)
        assert (said["generation"], said["worker"], said["stream"]) == (1, 1, "stdout")
        assert "asked for" not in service.must("logs", "--level", "info")
        assert service.must("logs", "--since", "now", "--generation", "7") == ""
        assert str(log) in service.must("logs", "--where") and str(access) in service.must("logs", "--where")

        following = service.begin_ctl("logs", "-f", "-n", "1", "--worker", "1", "--generation", "1")
        assert following.stdout is not None
        try:
            assert "asked for /one" in following.stdout.readline(), "from here on it follows"
            log.rename(tmp_path / "shop.log.1")
            service.must("reopen")
            service.request("GET", "/two")
            assert "asked for /two" in following.stdout.readline()
        finally:
            following.send_signal(signal.SIGINT)
            following.communicate(timeout=20)
        assert following.returncode == 0
        assert "asked for /one" in service.must("logs"), "the file before the rotation counts"
        service.must("stop")
        ended = service.ctl("logs", "-n", "1")
        assert ended.returncode == 0 and "stopped" in ended.stdout
        assert "says where its log is" in ended.stderr


def test_where_nobody_keeps_them(tmp_path: Path) -> None:
    with serving(tmp_path, log={"access": "off"}) as service:
        assert f"file {service.log_file}" in service.must("logs", "--where")
        assert "start 1 " in service.must("logs")
        ended = service.ctl("logs", "--access")
        assert (ended.returncode, ended.stdout) == (4, "")
        assert "cannot read the access log: log.access is off" in ended.stderr
