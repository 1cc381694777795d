"""A supervisor under systemd that hangs, is killed or replaces itself: the unit stays, and nobody notices."""

from __future__ import annotations

import time

import pytest

from harness.site import APP, Load, Site, drop_in

pytestmark = [pytest.mark.systemd, pytest.mark.root, pytest.mark.timeout(180)]


def test_a_supervisor_that_hangs_is_replaced(site: Site) -> None:
    with drop_in(site, "[Service]\nWatchdogSec=1\n"):
        site.must("start")
        main = site.show("MainPID")
        time.sleep(2.5)
        assert site.show("MainPID") == main  # it feeds the watchdog
        site.box.must("kill", "-STOP", main)
        deadline = time.monotonic() + 30
        while site.show("MainPID") in (main, "0") or site.show("ActiveState") != "active":
            assert time.monotonic() < deadline, site.journal()
            time.sleep(0.3)
        assert site.ask()[0] == "one"


def test_a_supervisor_that_hangs_is_followed_by_another_and_nobody_notices(site: Site) -> None:
    """The master in service ends it before systemd would, which ends everything."""
    site.must("start")
    workers, main = site.workers(), site.show("MainPID")
    with Load(site.socket, clients=2) as load:
        site.box.must("kill", "-STOP", main)
        deadline = time.monotonic() + 90
        while site.show("MainPID") in (main, "0", *map(str, site.masters())):
            assert time.monotonic() < deadline, site.journal()
            time.sleep(0.5)
    assert load.lost == []
    assert site.workers() == workers
    assert (site.show("NRestarts"), site.show("ActiveState")) == ("0", "active")


def test_the_supervisor_is_replaced_in_its_process(site: Site) -> None:
    """``ctl reexec``: the same main process, the stored sockets, the watchdog, and a restart afterwards."""
    with drop_in(site, "[Service]\nWatchdogSec=5\n"):
        site.must("start")
        main, workers = site.show("MainPID"), site.workers()
        with Load(site.socket) as load:
            for _ in range(2):
                site.box.must("/opt/releve/bin/ctl", "-c", "/etc/releve/releve.yaml", "reexec")
            time.sleep(6)  # of the watchdog
            assert (site.show("MainPID"), site.workers(), site.show("NRestarts")) == (main, workers, "0")
            assert site.show("NFileDescriptorStore") == "1"
            site.must("restart")
        assert load.lost == []


def test_a_supervisor_that_is_killed_is_followed_and_nobody_notices(site: Site) -> None:
    site.must("start")
    workers, invocation = site.workers(), site.show("InvocationID")
    with Load(site.socket) as load:
        for _ in range(6):  # systemd would start no unit anew so often
            main = site.show("MainPID")
            site.box.must("kill", "-9", main)
            deadline = time.monotonic() + 30
            while site.show("MainPID") in (main, "0", *map(str, site.masters())):
                assert time.monotonic() < deadline, site.journal()
                time.sleep(0.1)
    assert load.lost == []
    assert load.answered > 30
    assert site.workers() == workers
    assert (site.show("NRestarts"), site.show("ActiveState"), site.show("InvocationID")) == ("0", "active", invocation)
    site.release(APP.format(release="two"))
    site.must("reload")
    assert site.ask()[0] == "two"
    with Load(site.socket) as load:
        site.must("restart")  # the one that follows knows what systemd keeps
    assert load.lost == []
    site.must("stop")
    assert site.box.processes() == []


def test_everybody_killed_is_started_again(site: Site) -> None:
    site.must("start")
    site.box.must("sh", "-c", f"kill -9 {site.show('MainPID')} {' '.join(map(str, site.masters()))}")
    site.wait_for("NRestarts", "1")
    site.wait_for("ActiveState", "active")
    assert site.ask()[0] == "one"
    assert site.show("NFileDescriptorStore") == "1"
