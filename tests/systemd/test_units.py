"""The units in a real systemd: started, upgraded under load, reloaded onto a broken release, stopped."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.box import Box
from harness.site import APP, Client, Load, Site, lend_system_python

pytestmark = [pytest.mark.systemd, pytest.mark.root, pytest.mark.timeout(180)]

CONFIGURATION = "/etc/releve/releve.yaml"
GATED = (
    "import os\nos.read(os.open({gate!r}, os.O_RDONLY), 1)  # blocks until somebody has opened it to "
    "write, and closed it\n"
) + APP
BROKEN = "import a_module_that_nobody_has\n" + APP


FOLDERS = (f"site{number}" for number in itertools.count(1))  # short: a Unix socket's path takes 107 bytes


@pytest.fixture
def site(box: Box) -> Iterator[Site]:
    """``releve.service`` with release "one" on disk, not started."""
    folder = box.shared / next(FOLDERS)
    folder.mkdir()
    made = Site(box, "releve.service", folder)
    made.configure("releve")
    made.release(APP.format(release="one"))
    yield made
    box.run("systemctl", "stop", "releve.socket")
    box.run("systemctl", "stop", made.unit)
    box.run("systemctl", "reset-failed", made.unit)
    assert box.processes() == []


@contextlib.contextmanager
def drop_in(site: Site, text: str) -> Iterator[None]:
    """The unit with some lines changed."""
    path = f"/etc/systemd/system/{site.unit}.d/test.conf"
    site.box.write(path, text)
    site.box.must("systemctl", "daemon-reload")
    try:
        yield
    finally:
        site.box.run("systemctl", "stop", site.unit)
        site.box.must("rm", path)
        site.box.must("systemctl", "daemon-reload")


@contextlib.contextmanager
def until_read(gate: Path, site: Site, within_s: float = 30.0) -> Iterator[None]:
    """Waits until the import has come to the gate, and lets it pass at the end."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            fd = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError as error:
            assert error.errno == errno.ENXIO and time.monotonic() < deadline, site.journal()
            time.sleep(0.02)
    try:
        yield
    finally:
        os.close(fd)


def test_the_units_pass_systemds_own_verification(box: Box) -> None:
    for unit in ("releve.service", "releve@shop.service", "releve.socket"):
        done = box.run("systemd-analyze", "verify", "--man=no", unit)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_start_returns_only_when_a_generation_serves(site: Site) -> None:
    gate = site.folder / "gate"
    os.mkfifo(gate)
    site.release(GATED.format(gate=str(gate), release="one"))
    start = site.box.start("systemctl", "start", site.unit)
    try:
        with until_read(gate, site):
            assert site.show("ActiveState") == "activating"
            assert start.poll() is None, site.journal()
        said, _ = start.communicate(timeout=60)
    finally:
        start.kill()
        start.wait()
    assert start.returncode == 0, said + site.journal()
    assert site.ask()[0] == "one"
    assert site.show("ActiveState") == "active"


def test_a_first_release_that_does_not_boot_fails_the_start_and_says_why(site: Site) -> None:
    site.release(BROKEN.format(release="one"))
    status, _ = site.systemctl("start")
    assert status != 0
    site.must_have_said("ModuleNotFoundError: No module named 'a_module_that_nobody_has'")


def test_a_configuration_error_fails_the_start_once(site: Site) -> None:
    site.configure("releve", "wrokers: 3\n")
    status, _ = site.systemctl("start")
    assert status != 0
    assert site.show("NRestarts") == "0"
    assert site.show("ActiveState") == "failed"
    assert site.show("ExecMainStatus") == "2"
    site.must_have_said("'wrokers'")


def test_reload_is_an_upgrade_and_loses_nothing(site: Site) -> None:
    site.must("start")
    main = site.show("MainPID")
    with Load(site.socket) as load:
        for release in ("two", "three", "four"):
            site.release(APP.format(release=release))
            site.must("reload")
            assert site.ask()[0] == release
    assert load.lost == []
    assert load.answered > 30
    site.wait_for("MainPID", main)  # after a reload systemd reads PIDFile= once more, and is told again
    assert site.show("NRestarts") == "0"


def test_reload_onto_a_broken_release_fails_and_the_service_stays(site: Site) -> None:
    site.must("start")
    workers = site.workers()
    site.release(BROKEN.format(release="two"))
    with Load(site.socket) as load:
        status, _ = site.systemctl("reload")
        answer, worker = site.ask()
    assert status != 0
    assert load.lost == []
    assert answer == "one"
    assert worker in workers
    assert site.workers() == workers
    assert site.show("ActiveState") == "active"
    site.must_have_said("ModuleNotFoundError: No module named 'a_module_that_nobody_has'")


@pytest.mark.parametrize(
    ("verb", "limit_s", "boot_s"),
    [
        ("start", 3, 5.0),
        ("reload", 3, 5.0),
        # 90 s: systemd's own default
        pytest.param("reload", 90, 100.0, marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
)
def test_a_boot_that_takes_longer_than_systemd_waits(site: Site, verb: str, limit_s: int, boot_s: float) -> None:
    """The supervisor asks for more time for as long as it is at work."""
    site.configure("releve", "timeouts: {boot: 150s}\n")
    with drop_in(site, f"[Service]\nTimeoutStartSec={limit_s}\n"):
        if verb == "reload":
            site.must("start")
        gate = site.folder / "gate"
        os.mkfifo(gate)
        site.release(GATED.format(gate=str(gate), release="two"))
        waiting = site.box.start("systemctl", verb, site.unit)
        try:
            with until_read(gate, site):
                time.sleep(boot_s)
                assert waiting.poll() is None, site.journal()
                assert "boot" in site.show("StatusText")
            said, _ = waiting.communicate(timeout=60)
        finally:
            waiting.kill()
            waiting.wait()
        assert waiting.returncode == 0, said + site.journal()
        assert site.ask()[0] == "two"
        assert "is serving" in site.show("StatusText")


@pytest.fixture
def made(box: Box) -> Iterator[Site]:
    """A service by the unit that ``releve systemd-unit`` makes for it: a user of its own, the system's Python, no home
    folder, no /tmp.
    """
    root = lend_system_python(box)
    site = Site(box, "made.service", root / "srv/made")
    site.folder.mkdir(exist_ok=True)
    site.socket = root / "run/releve/made/http.sock"
    told = (
        "app: app:app\ndirectory: /srv/made\nuser: www-data\nlisten: unix:/run/releve/made/http.sock\n"
        "upgrade: {probation: 500ms}\n"
    )
    box.write("/etc/releve/made.yaml", told)
    site.release(APP.format(release="one"))
    box.write(
        "/etc/systemd/system/made.service",
        box.must("/opt/made/bin/releve", "systemd-unit", "-c", "/etc/releve/made.yaml"),
    )
    box.must("systemctl", "daemon-reload")
    yield site
    box.run("systemctl", "stop", "made.service")


def test_a_unit_made_for_a_configuration(made: Site) -> None:
    """It passes systemd's verification, and within its confinement everything works."""
    checked = made.box.run("systemd-analyze", "verify", "--man=no", made.unit)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    made.must("start")
    assert made.ask()[0] == "one"
    assert made.box.must("ps", "-o", "user=", "-p", made.show("MainPID")).strip() == "www-data"
    with Load(made.socket) as load:
        for release in ("two", "three"):
            made.release(APP.format(release=release))
            made.must("reload")
            assert made.ask()[0] == release
        made.must("restart")
        made.box.must("/opt/made/bin/ctl", "-c", "/etc/releve/made.yaml", "scale", "+1")
    assert load.lost == []
    made.must("stop")
    assert made.box.processes() == []


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


def test_ctl_finds_the_service(site: Site) -> None:
    site.must("start")
    assert site.box.must("/opt/releve/bin/ctl", "status", "--json").lstrip().startswith("{")


def test_the_doctor_reads_the_unit_and_a_drain_is_shown(site: Site) -> None:
    site.configure("releve", "readiness: /ready\n")
    site.must("start")

    def unit() -> tuple[str, str]:
        said = json.loads(site.box.run("/opt/releve/bin/ctl", "doctor", "--json").stdout)
        return next((one["severity"], one["text"]) for one in said["findings"] if one["check"] == "unit")

    assert unit()[0] == "ok"
    site.box.must("/opt/releve/bin/ctl", "drain")
    assert ", drained since " in site.show("StatusText")
    site.box.must("/opt/releve/bin/ctl", "undrain")
    assert "drained" not in site.show("StatusText")
    with drop_in(site, "[Service]\nTimeoutStopSec=3\n"):
        severity, text = unit()
        assert severity == "problem" and text.startswith("TimeoutStopSec=3 ")


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


def test_an_address_that_is_dropped_is_not_kept(site: Site) -> None:
    other = site.folder / "other.sock"
    site.configure("releve", f"- unix:{other}\n")
    site.must("start")
    assert site.show("NFileDescriptorStore") == "2"
    site.configure("releve", "upgrade: {standby: off, probation: 500ms}\n")
    site.must("reload")
    assert site.show("NFileDescriptorStore") == "1"
    assert not other.exists()


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


def test_everybody_killed_is_started_again(site: Site) -> None:
    site.must("start")
    site.box.must("sh", "-c", f"kill -9 {site.show('MainPID')} {' '.join(map(str, site.masters()))}")
    site.wait_for("NRestarts", "1")
    site.wait_for("ActiveState", "active")
    assert site.ask()[0] == "one"
    assert site.show("NFileDescriptorStore") == "1"


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
        site.must_have_said("there is no log file to reopen, asked by SIGUSR1")
        site.release(BROKEN.format(release="two"))
        assert site.systemctl("reload")[0] != 0
        assert any("a_module_that_nobody_has" in one["MESSAGE"] and one["PRIORITY"] == "3" for one in entries(site))


def test_an_instance_of_the_template_has_its_own_configuration(site: Site) -> None:
    shop = Site(site.box, "releve@shop.service", site.folder)
    shop.configure("shop")
    try:
        shop.must("start")
        assert shop.ask()[0] == "one"
        shop.release(APP.format(release="two"))
        shop.must("reload")
        assert shop.ask()[0] == "two"
    finally:
        shop.systemctl("stop")


def ask_inside(box: Box) -> str:
    """What the address of ``releve.socket`` answers."""
    code = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000/', timeout=60).read().decode())"
    return box.must("/usr/bin/python3", "-c", code).strip()


def test_the_first_connection_to_the_socket_starts_the_service(site: Site) -> None:
    site.configure("releve", "- fd:http\n")
    site.box.must("systemctl", "start", "releve.socket")
    assert site.show("ActiveState") == "inactive"
    assert ask_inside(site.box) == "one"
    assert site.show("ActiveState") == "active"
    site.release(APP.format(release="two"))
    site.must("reload")
    assert ask_inside(site.box) == "two"
    site.must("stop")
    assert ask_inside(site.box) == "two"  # the socket is still there, and starts it anew
    assert site.show("ActiveState") == "active"
