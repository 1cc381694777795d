"""The units in a real systemd: started, upgraded under load, reloaded onto a broken release."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.box import Box
from harness.site import APP, BROKEN, Load, Site, drop_in, lend_system_python

pytestmark = [pytest.mark.systemd, pytest.mark.root, pytest.mark.timeout(180)]

GATED = (
    "import os\nos.read(os.open({gate!r}, os.O_RDONLY), 1)  # blocks until somebody has opened it to "
    "write, and closed it\n"
) + APP


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
    with drop_in(site, "[Service]\nRestart=no\n"):
        status, _ = site.systemctl("start")
        assert status != 0
        site.must_have_said("ModuleNotFoundError: No module named 'a_module_that_nobody_has'")
        assert site.show("ExecMainStatus") == "4"
        assert re.match(r"Start \d+ failed at import: cannot import app: ", site.show("StatusText"))


def test_a_configuration_error_fails_the_start_once(site: Site) -> None:
    site.configure("releve", "wrokers: 3\n")
    status, _ = site.systemctl("start")
    assert status != 0
    assert site.show("NRestarts") == "0"
    assert site.show("ActiveState") == "failed"
    assert site.show("ExecMainStatus") == "2"
    assert site.show("StatusText").startswith("Cannot start: /etc/releve/releve.yaml:")
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


def test_an_address_that_is_dropped_is_not_kept(site: Site) -> None:
    other = site.folder / "other.sock"
    site.configure("releve", f"- unix:{other}\n")
    site.must("start")
    assert site.show("NFileDescriptorStore") == "2"
    site.configure("releve", "upgrade: {standby: off, probation: 500ms}\n")
    site.must("reload")
    assert site.show("NFileDescriptorStore") == "1"
    assert not other.exists()


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
