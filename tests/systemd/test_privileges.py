"""Privileges under a real systemd: a supervisor of root with workers of another user, and one with a capability, killed
under load.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.box import Box
from harness.site import APP, Load, Site, lend_system_python

pytestmark = [pytest.mark.systemd, pytest.mark.root, pytest.mark.timeout(180)]

UNIT = Path(__file__).parent.parent.parent / "systemd" / "releve.service"
YAML = (
    "app: app:app\ndirectory: /srv/{name}\nuser: www-data\nlisten:\n- unix:/run/releve/{name}/http.sock\n- "
    "127.0.0.1:80\n"
)
BIND = "0000000000000400"  # CAP_NET_BIND_SERVICE
NONE = "0" * 16


def site(box: Box, name: str) -> Site:
    """A service whose files are the box's own, for the system's Python."""
    root = lend_system_python(box)
    made = Site(box, f"{name}.service", root / "srv" / name)
    made.folder.mkdir(exist_ok=True)
    made.socket = root / "run/releve" / name / "http.sock"
    box.write(f"/etc/releve/{name}.yaml", YAML.format(name=name))
    made.release(APP.format(release="one"))
    return made


@pytest.fixture
def rooted(box: Box) -> Iterator[Site]:
    """The unit as we ship it, without ``User=``: the supervisor stays root, ``user:`` is for masters and workers."""
    made = site(box, "rooted")
    text = (
        UNIT.read_text()
        .replace("/opt/releve/", "/opt/made/")
        .replace("/etc/releve/releve.yaml", "/etc/releve/rooted.yaml")
    )
    assert "User=" not in text.replace("set User=", "")
    box.write("/etc/systemd/system/rooted.service", text)
    box.must("systemctl", "daemon-reload")
    yield made
    box.run("systemctl", "stop", made.unit)
    assert box.processes() == []


@pytest.fixture
def bound(box: Box) -> Iterator[Site]:
    """The unit that is made for the same configuration: ``User=`` from the start, and the capability for port 80."""
    made = site(box, "bound")
    box.write(
        "/etc/systemd/system/bound.service",
        box.must("/opt/made/bin/releve", "systemd-unit", "-c", "/etc/releve/bound.yaml"),
    )
    box.must("systemctl", "daemon-reload")
    yield made
    box.run("systemctl", "stop", made.unit)
    assert box.processes() == []


def capabilities(site: Site, pid: str) -> set[str]:
    words = site.box.must("grep", "-E", "^Cap(Inh|Prm|Eff|Amb)", f"/proc/{pid}/status").split()
    return set(words[1::2])


def user(site: Site, pid: str) -> str:
    return site.box.must("ps", "-o", "user=", "-p", pid).strip()


def sentries(site: Site) -> list[str]:
    return site.box.run("pgrep", "-f", "[r]eleve.supervisor.sentry").stdout.split()


def kill_the_supervisor(site: Site, times: int) -> None:
    """So often in a row; each time until systemd has another supervisor for the main process."""
    for _ in range(times):
        main = site.show("MainPID")
        others = {main, "0", *map(str, site.masters()), *sentries(site)}
        site.box.must("kill", "-9", main)
        deadline = time.monotonic() + 30
        while site.show("MainPID") in others:
            assert time.monotonic() < deadline, site.journal()
            time.sleep(0.1)


@pytest.mark.parametrize("fixture", ["rooted", "bound"])
def test_a_supervisor_with_more_rights_is_killed_and_nobody_notices(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    service: Site = request.getfixturevalue(fixture)
    service.must("start")
    held = capabilities(service, service.show("MainPID"))
    workers, invocation = service.workers(), service.show("InvocationID")
    for pid in (*workers, *map(str, service.masters())):
        assert (user(service, pid), capabilities(service, pid)) == ("www-data", {NONE})
    with Load(service.socket) as load:
        kill_the_supervisor(service, 4 if fixture == "rooted" else 2)
    assert (load.lost, load.answered > 20) == ([], True)
    assert service.workers() == workers
    assert (service.show("NRestarts"), service.show("ActiveState"), service.show("InvocationID")) == (
        "0",
        "active",
        invocation,
    )
    main = service.show("MainPID")
    assert (user(service, main), capabilities(service, main)) == ("root" if fixture == "rooted" else "www-data", held)
    service.release(APP.format(release="two"))
    service.must("reload")
    assert service.ask()[0] == "two"
    service.wait_for("MainPID", main)
    service.must("stop")
    assert (service.show("Result"), service.box.processes()) == ("success", [])


def test_a_kill_beside_a_stop_leaves_no_process_of_root(rooted: Site) -> None:
    for number in range(3):
        rooted.must("start")
        main = rooted.show("MainPID")
        rooted.box.run("sh", "-c", f"kill -9 {main}; sleep 0.0{number * 2}; systemctl stop {rooted.unit}")
        assert rooted.show("ActiveState") in ("inactive", "failed")
        assert rooted.box.processes() == []
        rooted.box.run("systemctl", "reset-failed", rooted.unit)


def test_supervisor_and_sentry_killed_are_started_again(rooted: Site) -> None:
    rooted.must("start")
    assert len(sentries(rooted)) == 1
    rooted.box.must("kill", "-9", rooted.show("MainPID"), *sentries(rooted))
    rooted.wait_for("NRestarts", "1")
    rooted.wait_for("ActiveState", "active")
    assert rooted.ask()[0] == "one"
