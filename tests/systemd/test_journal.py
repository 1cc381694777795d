"""What the journal gets of a unit."""

from __future__ import annotations

import contextlib
import json

import pytest

from harness.site import APP, BROKEN, Site, drop_in

pytestmark = [pytest.mark.systemd, pytest.mark.root, pytest.mark.timeout(180)]

TALKATIVE = (
    APP
    + """
import logging, sys
print("imported")

def application(environ, start_response):
    print("answered", environ["PATH_INFO"])
    sys.stderr.write("x" * 300_000 + "\\n")
    os.write(2, b"by os.write\\n")
    if environ["PATH_INFO"] == "/boom":
        raise ValueError("boom")
    return app(environ, start_response)
"""
)


def entries(site: Site, **wanted: str) -> list[dict[str, str]]:
    """What the journal has of the unit, with all fields; those whose fields are these.

    journalctl's own matches miss the first one after a cursor.
    """
    site.box.run("journalctl", "--sync")
    command = (
        "journalctl",
        "--no-pager",
        "--output=json",
        "--all",
        f"--unit={site.unit}",
        f"--after-cursor={site.cursor}",
    )
    found = [json.loads(line) for line in site.box.must(*command).splitlines()]
    return [one for one in found if all(one.get(name) == value for name, value in wanted.items())]


def test_the_journal_gets_fields(site: Site) -> None:
    site.release(TALKATIVE.format(release="one"))
    site.configure("releve", "workers: 1\n")
    site.box.must("sed", "-i", "s/app:app$/app:application/", "/etc/releve/releve.yaml")
    site.must("start")
    _, worker = site.ask("/hello")
    with contextlib.suppress(AssertionError):
        site.ask("/boom")
    found = entries(site, GENERATION="1", WORKER="1")
    assert {one["_PID"] for one in found} == {worker} and {one["SYSLOG_IDENTIFIER"] for one in found} == {"releve"}
    assert {one["RELEASE"] for one in found} == {str(site.folder)}
    (said,) = (one for one in found if one["MESSAGE"] == "answered /hello")
    assert (said["STREAM"], said["PRIORITY"], said["PROCESS"]) == ("stdout", "6", "worker")
    # longer than a datagram
    assert [len(one["MESSAGE"]) for one in found if one.get("STREAM") == "stderr"] == [300_000] * 2
    (failed,) = (one for one in found if one["PRIORITY"] == "3")
    assert failed["MESSAGE"].startswith("gen=1 worker=1 GET /boom: ") and failed["MESSAGE"].endswith("ValueError: boom")
    assert failed["CODE_FILE"].endswith("call.py")
    assert [one["MESSAGE"] for one in entries(site, PROCESS="master", STREAM="stdout")] == ["imported"]
    assert any("generation 1 serves" in one["MESSAGE"] for one in entries(site, PROCESS="supervisor"))
    access = [one for one in entries(site, SYSLOG_IDENTIFIER="releve-access") if "GET /" in one["MESSAGE"]]
    assert len(access) == 2 and {(one["_PID"], one["PRIORITY"]) for one in access} == {(worker, "6")}
    assert {one["_SYSTEMD_UNIT"] for one in access} == {site.unit}
    raw = [one for one in entries(site) if one["MESSAGE"] == "by os.write"]
    assert len(raw) == 2 and {one["_PID"] for one in raw} == {worker} and "GENERATION" not in raw[0]


def test_where_the_socket_of_the_journal_is_hidden_lines_have_priorities(site: Site) -> None:
    site.release(TALKATIVE.format(release="one"))
    with drop_in(site, "[Service]\nInaccessiblePaths=/run/systemd/journal/socket\n"):
        site.must("start")
        found = entries(site)
        assert any(
            one["MESSAGE"].startswith("gen=1 pid=") and one["PRIORITY"] == "6" and "imported" in one["MESSAGE"]
            for one in found
        )
        with contextlib.suppress(AssertionError):
            site.box.must("systemctl", "kill", "--kill-whom=main", "--signal=USR1", site.unit)
        site.must_have_said("reopen by SIGUSR1: no log file to reopen")
        site.release(BROKEN.format(release="two"))
        assert site.systemctl("reload")[0] != 0
        assert any("a_module_that_nobody_has" in one["MESSAGE"] and one["PRIORITY"] == "3" for one in entries(site))


def test_ctl_logs_reads_it(site: Site) -> None:
    site.release(TALKATIVE.format(release="one"))
    site.must("start")
    site.ask("/hello")
    site.box.run("journalctl", "--sync")

    def logs(*arguments: str) -> str:
        return site.box.must("/opt/releve/bin/ctl", "-c", "/etc/releve/releve.yaml", "logs", *arguments)

    where = logs("--where")
    assert f"systemd's journal, {site.unit}" in where and f"journalctl -u {site.unit} -t releve" in where
    assert "start 1 started by releve" in logs("--since", "1h") and '"GET /' not in logs("--since", "1h")
    assert '"GET /' in logs("--access")
    said = [json.loads(line) for line in logs("--generation", "1", "--since", "1h", "--json").splitlines()]
    assert {one["GENERATION"] for one in said} == {"1"}
