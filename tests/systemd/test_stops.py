"""Stops and restarts of a unit: who is answered, who is refused, and that nothing is left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest

from harness.site import APP, Client, Load, Site, drop_in

pytestmark = [pytest.mark.systemd, pytest.mark.root, pytest.mark.timeout(180)]
CONFIGURATION = "/etc/releve/releve.yaml"


def test_stop_answers_what_is_in_flight_and_leaves_no_process(site: Site) -> None:
    site.must("start")
    with contextlib.closing(Client(site.socket)) as client:
        client.request("GET", "/slow")
        stop = site.box.start("systemctl", "stop", site.unit)
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, b"one")
    said, _ = stop.communicate(timeout=60)
    assert stop.returncode == 0, said
    assert site.show("Result") == "success"
    assert site.show("ActiveState") == "inactive"
    assert site.box.processes() == []
    with pytest.raises(FileNotFoundError):
        site.ask()


def answered_or_refused(site: Site, idle: Client) -> tuple[list[str], bool]:
    """Who answered the connections that were made while the unit was deactivating, and whether there was one that was
    refused.

    The idle client, for whom the stop waits, goes when three were answered.
    """
    answered: list[str] = []
    while site.show("ActiveState") == "deactivating":
        try:
            answered.append(site.ask()[1])
            if len(answered) == 3:
                idle.close()
        except (FileNotFoundError, ConnectionRefusedError):
            return answered, True
        except ConnectionResetError:  # it came when the last worker had left, and systemd has dropped the socket since
            site.wait_for("ActiveState", "inactive")
    return answered, False


@contextlib.contextmanager
def idle_client(site: Site) -> Iterator[Client]:
    """One that keeps its connection, so that a stop takes ``timeouts.linger``, or until it goes."""
    site.configure("releve", "timeouts: {linger: 60s, drain: 80s}\n")
    site.must("start")
    with contextlib.closing(Client(site.socket)) as client:
        client.ask()
        yield client


@pytest.mark.parametrize("asked", ["systemctl stop", "ctl stop"])
def test_in_a_stop_who_connects_is_refused_at_once(site: Site, asked: str) -> None:
    """systemd keeps the listening socket for a restart; here it is told not to (row i)."""
    with idle_client(site) as client:
        command = (
            ("systemctl", "stop", site.unit)
            if asked == "systemctl stop"
            else ("/opt/releve/bin/ctl", "-c", CONFIGURATION, "stop")
        )
        stop = site.box.start(*command)
        site.wait_for("ActiveState", "deactivating")
        while not answered_or_refused(site, Client(site.socket))[1]:  # until systemd was asked, clients are served
            assert site.show("ActiveState") == "deactivating"
        assert site.show("ActiveState") == "deactivating" and site.show("NFileDescriptorStore") == "0"
        client.close()
        said, _ = stop.communicate(timeout=60)
        assert stop.returncode == 0, said
    site.wait_for("ActiveState", "inactive")
    assert site.show("Result") == "success" and not site.socket.exists()


@pytest.mark.parametrize("asked", ["restart", "stop, and systemd does not say so"])
def test_in_a_restart_who_connects_meanwhile_is_served_until_it_is_over(site: Site, asked: str) -> None:
    """Else the client would wait in the queue, for as long as an idle client of somebody else's keeps its
    connection.
    """
    dumb = "[Service]\nInaccessiblePaths=/usr/bin/systemctl\n"
    with drop_in(site, dumb) if asked != "restart" else contextlib.nullcontext(), idle_client(site) as client:
        workers = site.workers()
        command = site.box.start("systemctl", "restart" if asked == "restart" else "stop", site.unit)
        site.wait_for("ActiveState", "deactivating")
        answered, refused = answered_or_refused(site, client)
        said, _ = command.communicate(timeout=60)
        assert command.returncode == 0, said
        assert len(answered) > 2 and set(answered[:2]) <= workers
        if asked == "restart":
            assert not refused and site.ask()[1] not in workers


def test_ctl_stop_beside_a_stop_that_serves_on_is_final(site: Site) -> None:
    with drop_in(site, "[Service]\nInaccessiblePaths=/usr/bin/systemctl\n"), idle_client(site) as client:
        stop = site.box.start("systemctl", "stop", site.unit)
        site.wait_for("ActiveState", "deactivating")
        site.ask()
        final = site.box.start("/opt/releve/bin/ctl", "-c", CONFIGURATION, "stop")
        while not answered_or_refused(site, Client(site.socket))[1]:  # until the order has come to the workers
            assert site.show("ActiveState") == "deactivating"
        client.close()
        for command in (stop, final):
            said, _ = command.communicate(timeout=60)
            assert command.returncode == 0, said


def test_a_restart_refuses_nobody(site: Site) -> None:
    """systemd keeps the listening socket: who connects between the stop and the start waits, and is answered."""
    site.must("start")
    with Load(site.socket) as load:
        for release in ("two", "three"):
            main = site.show("MainPID")
            site.release(APP.format(release=release))
            site.must("restart")
            assert site.ask()[0] == release
            assert site.show("MainPID") != main
    assert load.lost == []
    assert load.answered > 30


@pytest.mark.parametrize("races", [5, pytest.param(24, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_a_kill_beside_a_stop_leaves_no_process(site: Site, races: int) -> None:
    for number in range(races):
        site.must("start")
        main = site.show("MainPID")
        site.box.run("sh", "-c", f"kill -9 {main}; sleep {number * 0.24 / races:.2f}; systemctl stop {site.unit}")
        assert site.show("ActiveState") in ("inactive", "failed")
        assert site.box.processes() == []
        site.box.run("systemctl", "reset-failed", site.unit)


@pytest.mark.parametrize("who", ["supervisor", "master", "worker"])
def test_a_stop_ends_what_hangs_at_its_time_limit(site: Site, who: str) -> None:
    """The supervisor sees to masters and workers; to the supervisor, systemd does."""
    site.configure("releve", "timeouts: {drain: 1s, linger: 1s}\n")
    with drop_in(site, "[Service]\nTimeoutStopSec=8\n"):
        site.must("start")
        pids = {"supervisor": {site.show("MainPID")}, "master": set(map(str, site.masters())), "worker": site.workers()}
        site.box.must("kill", "-STOP", *pids[who])
        site.systemctl("stop")
        assert site.show("ActiveState") in ("inactive", "failed")
        assert site.box.processes() == []


@pytest.mark.parametrize("moments", [5, pytest.param(16, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_a_stop_at_any_moment_of_an_upgrade_leaves_no_process(site: Site, moments: int) -> None:
    site.configure("releve", "upgrade: {probation: 200ms}\n")
    for number in range(moments):
        # so many starts in so short a time are too many for systemd
        site.box.run("systemctl", "reset-failed", site.unit)
        site.must("start")
        reload = site.box.start("systemctl", "reload", site.unit)
        site.wait_for("ActiveState", "reloading")  # else systemd may have it end the stop
        time.sleep(number * 1.2 / moments)  # from before its first step until it is over
        site.must("stop")
        reload.communicate(timeout=60)
        # the latter where systemd ended its own ctl by a signal
        assert site.show("ActiveState") in ("inactive", "failed")
        assert site.box.processes() == []
