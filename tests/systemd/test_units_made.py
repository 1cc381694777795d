"""Units that ``releve systemd-unit`` makes: each setting that changes one is tried under a real systemd, and so are odd
paths.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.box import Box
from harness.site import APP, SYSTEM_PYTHON, Site, lend_system_python

pytestmark = [pytest.mark.systemd, pytest.mark.root, pytest.mark.timeout(180)]

CONFIG = "/etc/releve/needy.yaml"
PATH = "/run/releve/needy/http.sock"
SOCKET = f"unix:{PATH}"
QUICK = "upgrade: {probation: off}\n"
RUNTIME = "runtime_directory: {0}\nlisten: unix:{0}/http.sock\n"
# what the application sees of a set-user-ID program, in place of its release
RAISED = (
    "import subprocess\n"
    + APP.format(release="one")
    + "\nRELEASE = subprocess.run(['/srv/needy/id', '-u'], capture_output=True, text=True).stdout\n"
)

# name -> more of the configuration, the folders of www-data that there have to be, and a command that shows that it is
# so
SETTINGS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "user": ("", (), "test $(stat -c %U /run/releve/needy/ctl.sock) = www-data"),
    "group": ("group: games\n", (), "test $(stat -c %G /run/releve/needy/ctl.sock) = games"),
    "control_group": ("control_group: games\n", (), "test $(stat -c %G%a /run/releve/needy/ctl.sock) = games660"),
    "listen a group": (f"listen: {{unix: {PATH}, group: games}}\n", (), f"test $(stat -c %G {PATH}) = games"),
    "listen an owner": (f"listen: {{unix: {PATH}, owner: games}}\n", (), f"test $(stat -c %U {PATH}) = games"),
    "listen a low port": (f"listen: ['{SOCKET}', '127.0.0.1:81']\n", (),
        "grep -q ':0051 00000000:0000 0A' /proc/net/tcp"),
    "listen in a folder of its name": ("listen: unix:/run/needy/http.sock\n", (),
        "test $(stat -c %U%a /run/needy) = www-data711"),
    "listen in /tmp": (f"listen: ['{SOCKET}', 'unix:/tmp/needy.sock']\n", (), "test -S /tmp/needy.sock"),
    "directory in a home": ("directory: /home/needy\n", ("/home/needy",), "true"),
    "runtime_directory in /run": (RUNTIME.format("/run/elsewhere/x"), (), "test -S /run/elsewhere/x/ctl.sock"),
    "runtime_directory": (RUNTIME.format("/srv/elsewhere"), ("/srv/elsewhere",), "test -S /srv/elsewhere/ctl.sock"),
    "state_directory in /var/lib": ("state_directory: /var/lib/elsewhere\n", (), "ls /var/lib/elsewhere/*"),
    "state_directory": ("state_directory: /srv/state\n", ("/srv/state",), "ls /srv/state/*"),
    "log": ("log: {file: /home/needy/log, access: /var/log/needy/access}\n", ("/home/needy", "/var/log/needy"),
        "test -s /home/needy/log"),
    "spool_directory": ("spool_directory: /srv/spool\n", ("/srv/spool",), "true"),
    "umask": ("umask: '0007'\n", (), "grep -q 0007 /proc/$(pgrep -f '^releve: master ' | head -1)/status"),
    "no_new_privileges": ("no_new_privileges: false\n", (), "install -m 4755 /usr/bin/id /srv/needy/id"),
    "limits.connections": ("limits: {connections: 500}\n", (), "true"),
}  # fmt: skip


@pytest.fixture
def needy(box: Box) -> Iterator[Site]:
    """A site whose configuration and unit a test makes; nothing of it is left."""
    root = lend_system_python(box)
    made = Site(box, "needy.service", root / "srv/needy")
    made.folder.mkdir(exist_ok=True)
    made.socket = root / "run/releve/needy/http.sock"
    made.release(APP.format(release="one"))
    yield made
    box.run("systemctl", "stop", made.unit)
    box.run("systemctl", "reset-failed", made.unit)
    box.run(
        "rm", "-rf", "/run/elsewhere", "/srv/elsewhere", "/srv/state", "/srv/spool", "/home/needy", "/var/lib/elsewhere"
    )
    box.run(
        "rm", "-rf", "/var/log/needy", "/run/needy", "/tmp/needy.sock", "/var/lib/releve/needy", "/run/releve/needy"
    )
    assert box.processes() == []


def install(site: Site, config: str, commands: str = "/opt/made/bin") -> str:
    """Make the unit for a configuration; its text."""
    text = site.box.must(f"{commands}/releve", "systemd-unit", "-c", config)
    site.box.write(f"/etc/systemd/system/{site.unit}", text)
    site.box.must("systemctl", "daemon-reload")
    return text


def unit_findings(box: Box, config: str) -> list[str]:
    """What the doctor has against the unit of a configuration whose service need not run."""
    said = box.run("/opt/made/bin/releve", "doctor", "-c", config).stdout.splitlines()
    return [line for line in said if line.split()[:2] in (["problem", "unit"], ["warning", "unit"])]


@pytest.mark.soak
@pytest.mark.parametrize("name", SETTINGS)
def test_a_unit_allows_what_a_setting_needs(needy: Site, name: str) -> None:
    box = needy.box
    more, folders, shown = SETTINGS[name]
    usual = {"directory": "/srv/needy", "user": "www-data", "listen": SOCKET}
    told = "".join(f"{key}: {value}\n" for key, value in usual.items() if f"\n{key}:" not in f"\n{more}")
    if "/http.sock" in more.replace(PATH, ""):
        needy.socket = Path(box.outside("root")) / more.rpartition("unix:/")[2].strip()
    box.write(CONFIG, f"app: app:app\n{told}workers: 1\nupgrade: {{probation: off}}\n{more}")
    for folder in folders:
        box.must("install", "-d", "-o", "www-data", folder)
    if name == "directory in a home":
        box.write("/home/needy/app.py", APP.format(release="one"))
    if name == "no_new_privileges":
        box.must("sh", "-c", shown)
        needy.release(RAISED)
    install_and_use(needy, "0\n" if name == "no_new_privileges" else "one", shown)


def test_a_unit_allows_what_several_settings_need(needy: Site) -> None:
    """The most telling ones at once; by themselves, and all others: ``make soak``."""
    box = needy.box
    listen = f"listen: [{{unix: {PATH}, group: tty}}, '127.0.0.1:81', 'unix:/tmp/needy.sock']\n"
    folders = (
        "state_directory: /srv/state\nspool_directory: /srv/spool\nlog: {file: /home/needy/log, access: "
        "/var/log/needy/access}\n"
    )
    box.write(
        CONFIG,
        (
            "app: app:app\ndirectory: /home/needy\nuser: www-data\nworkers: 1\ncontrol_group: games\n"
            f"{listen}{folders}{QUICK}"
        ),
    )
    for folder in ("/srv/state", "/srv/spool", "/home/needy", "/var/log/needy"):
        box.must("install", "-d", "-o", "www-data", folder)
    box.write("/home/needy/app.py", APP.format(release="one"))
    install_and_use(needy, "one", f"test $(stat -c %G%a /run/releve/needy/ctl.sock)$(stat -c %G {PATH}) = games660tty")


def install_and_use(site: Site, body: str, shown: str) -> None:
    """Make the unit, which systemd and the doctor find right; start it, reload it, and have a command that shows what
    is so.
    """
    box = site.box
    install(site, CONFIG)
    checked = box.run("systemd-analyze", "verify", "--man=no", site.unit)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert unit_findings(box, CONFIG) == []
    site.must("start")
    assert site.ask()[0] == body
    box.must("sh", "-c", shown)
    site.must("reload")  # which has systemd look after the folders again
    box.must("sh", "-c", shown)
    said = json.loads(box.run("/opt/made/bin/ctl", "-c", CONFIG, "doctor", "--json").stdout)
    assert [one["text"] for one in said["findings"] if one["check"] == "unit" and one["severity"] != "ok"] == []
    assert "PID file" not in site.journal()


def test_the_doctor_compares_the_unit_before_it_starts(needy: Site) -> None:
    """The unit as it was before the setting was added."""
    usual = f"app: app:app\ndirectory: /srv/needy\nuser: www-data\nlisten: {SOCKET}\n"
    needy.box.write(CONFIG, usual)
    install(needy, CONFIG)
    assert unit_findings(needy.box, CONFIG) == []
    needy.box.write(CONFIG, usual + "control_group: games\nlog: {file: /var/log/needy/log}\n")
    found = unit_findings(needy.box, CONFIG)
    assert [line.rpartition("configuration: ")[2] for line in found] == [
        "SystemCallFilter= forbids chown, for control_group",
        "SupplementaryGroups= lacks games",
        "ReadWritePaths= lacks /var/log/needy",
    ]


ODD = 'my 100% "a\'pp" $x\\y'


@contextlib.contextmanager
def odd_site(box: Box) -> Iterator[tuple[Site, str, str]]:
    """A release, a configuration, a log and the commands at paths with all that systemd gives a meaning to."""
    root = lend_system_python(box)
    site = Site(box, "re-leve-x-y.service", root / "srv" / ODD)
    site.folder.mkdir()
    site.socket = root / "run/releve/re-leve-x-y/http.sock"
    config, commands = '/etc/releve/re%leve $x "y.yaml', "/opt/ma de 5%n $x;/bin"
    for name, module in {"releve": "releve.supervisor.cli", "ctl": "releve.ctl.main"}.items():
        code = f"import os, sys; sys.argv[0] = os.environ.pop('ARGV0'); from {module} import main; main()"
        text = f'#!/bin/sh\nARGV0="$0" PYTHONPATH=/opt/made/lib exec {SYSTEM_PYTHON} -P -c "{code}" "$@"\n'
        box.write(f"{commands}/{name}", text, 0o755)
    box.must("install", "-d", "-o", "www-data", f"/srv/{ODD}/log")
    values = {
        "directory": f"/srv/{ODD}",
        "log": {"file": f"/srv/{ODD}/log/lines"},
        "listen": "unix:/run/releve/re-leve-x-y/http.sock",
    }
    box.write(
        config,
        json.dumps({"app": "app:app", "user": "www-data", "workers": 1, "upgrade": {"probation": "off"}, **values}),
    )
    try:
        yield site, config, commands
    finally:
        box.run("systemctl", "stop", site.unit)
        box.run("rm", "-rf", str(Path("/srv") / ODD))


def test_odd_paths_are_escaped(box: Box) -> None:
    with odd_site(box) as (site, config, commands):
        site.release(APP.format(release="one"))
        install(site, config, commands)
        checked = box.run("systemd-analyze", "verify", "--man=no", site.unit)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
        site.must("start")
        assert site.ask()[0] == "one"
        assert unit_findings(box, config) == []
        site.release(APP.format(release="two"))
        site.must("reload")
        assert site.ask()[0] == "two"
        assert site.show("Description") == f"Relève, serving app:app ({config})"
        box.must("test", "-s", f"/srv/{ODD}/log/lines")
        box.must(f"{commands}/ctl", "-c", config, "status")
    assert box.processes() == []


@pytest.mark.soak
def test_a_reload_leaves_nothing_in_the_journal_about_the_pid_file(needy: Site) -> None:
    needy.box.write(CONFIG, f"app: app:app\ndirectory: /srv/needy\nuser: www-data\nlisten: {SOCKET}\n{QUICK}")
    install(needy, CONFIG)
    needy.must("start")
    main = needy.show("MainPID")
    for release in ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"):
        needy.release(APP.format(release=release))
        needy.must("reload")
        assert needy.ask()[0] == release
        assert needy.show("MainPID") == main  # nobody else was taken for it meanwhile
    assert "PID file" not in needy.journal()
    # while the file names the supervisor itself: systemd is not to believe that it lives
    needy.box.must("kill", "-9", main)
    deadline = time.monotonic() + 60
    while needy.show("MainPID") in (main, "0") or needy.show("ActiveState") != "active":
        assert time.monotonic() < deadline, needy.journal()
        time.sleep(0.3)
    assert needy.ask()[0] == "eleven"
