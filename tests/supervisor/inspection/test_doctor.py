"""Each check of the doctor on both sides of its bound, with facts that are not of this host."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from releve.config.settings.address import Address
from releve.config.settings.limits import Limits
from releve.config.settings.log import Log
from releve.config.settings.proxy import Proxy
from releve.config.settings.settings import Settings
from releve.config.settings.timeouts import Timeouts
from releve.config.settings.upgrade import Upgrade
from releve.supervisor.inspection import doctor
from releve.supervisor.inspection.checks import CHECKS
from releve.supervisor.inspection.facts import Facts
from releve.supervisor.inspection.finding import OK, PROBLEM, UNKNOWN, WARNING
from releve.supervisor.inspection.worker_use import WorkerUse
from releve.supervisor.systemd import unit
from releve.supervisor.systemd.loaded import Unit

MIB = 1 << 20
GOOD_UNIT = {
    "Type": "notify",
    "KillMode": "mixed",
    "PIDFile": "/run/releve/shop/guard.pid",
    "FileDescriptorStoreMax": "18",
    "TimeoutStartUSec": "2min 35s",
    "TimeoutStopUSec": "1min 5s",
    "WatchdogUSec": "30s",
}
GOOD = Facts(
    settings=Settings(directory="/srv/shop/current", user="shop", listen=(Address("tcp", "127.0.0.1", 8000),)),
    uid=0,
    workers=2,
    descriptors_hard=21_024,
    tasks_left=(1000, "TasksMax= of the unit"),
    somaxconn=2048,
    port_range=(32768, 60999),
    pss_bytes=200 * MIB,
    available_bytes=200 * MIB,
    overcommit=0,
    commit_left_bytes=0,
    unit=Unit(GOOD_UNIT),
    resolved="/srv/shop/releases/42",
    python="/srv/shop/releases/42/.venv/bin/python",
    synchronised=True,
    clock_jump_s=0.0,
)


def settings(**more: Any) -> Settings:
    return dataclasses.replace(GOOD.settings, **more)


def unit_with(**more: str) -> Unit:
    return Unit({**GOOD_UNIT, **more})


def found(check: str, **changes: Any) -> list[str]:
    """The severities that one check gives."""
    return [one.severity for one in doctor.examine(dataclasses.replace(GOOD, **changes)) if one.check == check]


def test_all_is_well() -> None:
    assert {one.severity for one in doctor.examine(GOOD)} == {OK}
    assert doctor.report(doctor.examine(GOOD))["status"] == 0


GROUPED = settings(control_group="ops")
LOW = settings(listen=(Address("tcp", "", 80),))
LOGGED = settings(log=Log(file="/var/log/shop/log"))
STRICT = unit_with(ProtectSystem="strict", ReadWritePaths="/var")

CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("health", {"degraded": ("no worker is serving",)}, [PROBLEM]),
    ("health", {"drained_s": 3.0}, [WARNING]),
    ("load", {"saturated": "all 16 threads busy for 12 s"}, [PROBLEM]),
    ("load", {"failing": "230 of 240 requests in the last 10 s were answered with 5xx (95.8%)"}, [PROBLEM]),
    ("limits", {"crew": (WorkerUse("8.1", 4711), WorkerUse("8.2", 4712, cpu_percent=99.6))}, [WARNING]),
    ("limits", {"crew": (WorkerUse("8.1", 4711, 9, 10, 90, 100),)}, [WARNING, WARNING]),
    ("limits", {"crew": (WorkerUse("8.1", 4711, 8, 10, 80, 100, 80.0),)}, [OK]),
    ("history", {"history_trouble": "no space left on device"}, [PROBLEM]),
    ("descriptors", {"descriptors_hard": 21_023}, [WARNING]),
    ("descriptors", {"descriptors_hard": 11_024, "settings": settings(limits=Limits(spool=None))}, [OK]),
    ("descriptors", {"descriptors_hard": 11_023, "settings": settings(limits=Limits(spool=None))}, [WARNING]),
    ("descriptors", {"descriptors_hard": 10_000}, [WARNING]),
    ("descriptors", {"descriptors_hard": 9_999}, [PROBLEM]),
    ("descriptors", {"descriptors_hard": 4096, "settings": settings(limits=Limits(connections=1536))}, [OK]),
    ("tasks", {"tasks_left": (1000, "ulimit -u (LimitNPROC= of the unit)")}, [OK]),
    ("tasks", {"tasks_left": (20, "TasksMax= of the unit"), "workers": 2, "settings": settings(threads=8)}, [PROBLEM]),
    ("tasks", {"tasks_left": (21, "TasksMax= of the unit"), "workers": 2, "settings": settings(threads=8)}, [OK]),
    (
        "tasks",
        {
            "tasks_left": (11, "TasksMax="),
            "workers": 2,
            "settings": settings(threads=8, upgrade=Upgrade(mode="rolling")),
        },
        [OK],
    ),
    ("backlog", {"somaxconn": 2047}, [WARNING]),
    ("backlog", {"somaxconn": 128, "settings": settings(limits=Limits(backlog=128))}, [OK]),
    ("ports", {"port_range": (8000, 60999)}, [WARNING]),
    ("ports", {"port_range": (8001, 60999)}, [OK]),
    ("ports", {"port_range": (8000, 60999), "ports_reserved": frozenset({8000})}, [OK]),
    ("ports", {"port_range": (50_000, 59_998)}, [WARNING]),
    ("ports", {"port_range": (50_000, 59_999)}, [OK]),
    ("memory", {"available_bytes": 200 * MIB - 1}, [PROBLEM]),
    ("memory", {"available_bytes": 100 * MIB, "settings": settings(upgrade=Upgrade(mode="rolling"))}, [OK]),
    ("memory", {"available_bytes": 99 * MIB, "settings": settings(upgrade=Upgrade(mode="rolling"))}, [PROBLEM]),
    ("overcommit", {"overcommit": 2, "commit_left_bytes": 200 * MIB}, [OK]),
    ("overcommit", {"overcommit": 2, "commit_left_bytes": 200 * MIB - 1}, [WARNING]),
    ("unit", {"unit": unit_with(TimeoutStartUSec="2min 34s")}, [PROBLEM]),
    ("unit", {"unit": unit_with(TimeoutStartUSec="infinity", TimeoutStopUSec="infinity")}, [OK]),
    ("unit", {"unit": unit_with(TimeoutStopUSec="1min 4s")}, [PROBLEM]),
    ("unit", {"settings": settings(timeouts=Timeouts(drain=31.0))}, [PROBLEM]),
    ("unit", {"unit": unit_with(KillMode="control-group")}, [PROBLEM]),
    ("unit", {"unit": unit_with(Type="simple")}, [WARNING]),
    ("unit", {"unit": unit_with(FileDescriptorStoreMax="0")}, [WARNING]),
    ("unit", {"unit": unit_with(PIDFile="")}, [WARNING]),
    ("unit", {"unit": unit_with(WatchdogUSec="0")}, [WARNING]),
    ("unit", {"settings": GROUPED, "unit": unit_with(User="shop", SystemCallFilter="accept fchown")}, [OK]),
    ("unit", {"settings": GROUPED, "unit": unit_with(User="shop", SystemCallFilter="accept")}, [PROBLEM]),
    ("unit", {"settings": GROUPED, "unit": unit_with(User="shop", SystemCallFilter="~mount")}, [OK]),
    ("unit", {"settings": GROUPED, "unit": unit_with(User="shop", SystemCallFilter="~chown fchown")}, [PROBLEM]),
    ("unit", {"settings": GROUPED, "unit": unit_with(User="shop", RuntimeDirectoryMode="0711")}, [OK]),
    ("unit", {"settings": GROUPED, "unit": unit_with(User="shop", RuntimeDirectoryMode="0710")}, [PROBLEM]),
    ("unit", {"settings": GROUPED, "unit": unit_with(User="", SystemCallFilter="accept")}, [OK]),
    (
        "unit",
        {"settings": GROUPED, "unit": unit_with(User="shop", SupplementaryGroups="a ops"), "strange_groups": ("ops",)},
        [OK],
    ),
    (
        "unit",
        {"settings": GROUPED, "unit": unit_with(User="shop", SupplementaryGroups=""), "strange_groups": ("ops",)},
        [PROBLEM],
    ),
    ("unit", {"settings": GROUPED, "unit": unit_with(User="shop", SupplementaryGroups="")}, [OK]),
    ("unit", {"settings": LOW, "unit": unit_with(User="shop", AmbientCapabilities="cap_net_bind_service")}, [OK]),
    ("unit", {"settings": LOW, "unit": unit_with(User="shop", AmbientCapabilities="")}, [PROBLEM]),
    ("unit", {"settings": settings(no_new_privileges=False), "unit": unit_with(User="shop")}, [PROBLEM]),
    ("unit", {"settings": settings(no_new_privileges=False), "unit": unit_with(NoNewPrivileges="yes")}, [PROBLEM]),
    ("unit", {"settings": settings(no_new_privileges=False), "unit": unit_with(NoNewPrivileges="no")}, [OK]),
    ("unit", {"settings": settings(), "unit": unit_with(NoNewPrivileges="yes")}, [OK]),
    ("unit", {"settings": LOGGED, "unit": unit_with(ProtectSystem="strict", ReadWritePaths="/a -/var/log/shop")}, [OK]),
    ("unit", {"settings": LOGGED, "unit": unit_with(ProtectSystem="strict", LogsDirectory="shop")}, [OK]),
    (
        "unit",
        {
            "settings": LOGGED,
            "unit": unit_with(ProtectSystem="strict", LogsDirectory="shop"),
            "absent": ("/var/log/shop",),
        },
        [OK],
    ),
    (
        "unit",
        {
            "settings": LOGGED,
            "unit": unit_with(ProtectSystem="full", ReadWritePaths="/var"),
            "absent": ("/var/log/shop",),
        },
        [OK],
    ),
    ("unit", {"settings": LOGGED, "unit": STRICT, "absent": ("/var/log/shop",)}, [PROBLEM]),
    (
        "unit",
        {"settings": settings(), "unit": unit_with(ProtectHome="yes"), "real": ("/home/me/.pyenv/python",)},
        [PROBLEM],
    ),
    ("unit", {"settings": LOGGED, "unit": unit_with(ProtectSystem="full")}, [OK]),
    ("unit", {"settings": LOGGED, "unit": unit_with(ProtectSystem="strict", ReadWritePaths="/var/log/sho")}, [PROBLEM]),
    ("unit", {"settings": settings(directory="/home/x"), "unit": unit_with(ProtectHome="read-only")}, [OK]),
    ("unit", {"settings": settings(directory="/home/x"), "unit": unit_with(ProtectHome="yes")}, [PROBLEM]),
    ("unit", {"settings": settings(directory="/tmp/x"), "unit": unit_with(PrivateTmp="yes")}, [PROBLEM]),
    ("database", {"workers": 6, "settings": settings(threads=8)}, [OK]),
    ("database", {"workers": 7, "settings": settings(threads=8)}, [WARNING]),
    ("database", {"workers": 11, "settings": settings(threads=8, upgrade=Upgrade(mode="rolling"))}, [OK]),
    ("database", {"workers": 12, "settings": settings(threads=8, upgrade=Upgrade(mode="rolling"))}, [WARNING]),
    ("import", {"unsafe_import": ("1 thread", "a connection to 10.0.0.5:5432")}, [PROBLEM, PROBLEM]),
    ("symlink", {"resolved": "/srv/shop/current"}, [WARNING]),
    ("symlink", {"resolved": "/srv/shop/current", "settings": settings(watch="code")}, [OK]),
    ("interpreter", {"python": "/srv/shop/releases/41/.venv/bin/python"}, [PROBLEM]),
    ("interpreter", {"python": "/srv/shop/venv/bin/python"}, [OK]),
    ("interpreter", {"python": "/usr/bin/python3"}, [OK]),
    ("clock", {"synchronised": False}, [WARNING]),
    ("clock", {"clock_jump_s": -5.1}, [WARNING]),
    ("clock", {"clock_jump_s": 5.0}, [OK]),
    ("proxy", {"settings": settings(proxy=Proxy(trusted=("0.0.0.0/0",)))}, [PROBLEM]),
    ("proxy", {"settings": settings(proxy=Proxy(trusted=("10.0.0.0/7", "2000::/15", "unix:")))}, [PROBLEM, PROBLEM]),
    ("proxy", {"settings": settings(proxy=Proxy(trusted=("10.0.0.0/8", "fd00::/16", "unix:")))}, [OK]),
    ("release", {"release_trouble": "cannot use the directory /srv/none: it does not exist"}, [PROBLEM]),
    ("root", {"settings": settings(user=None)}, [WARNING]),
    ("root", {"settings": settings(user=None), "uid": 1000}, [OK]),
    ("writable", {"writable": ("/srv/shop",)}, [PROBLEM]),
    (
        "control",
        {"control": ("control.directories: /srv is ignored: every user may write in /", "the file")},
        [PROBLEM, PROBLEM],
    ),
    ("stale", {"stale": ("/run/releve/shop/gen-3.sock",)}, [WARNING]),
]


@pytest.mark.parametrize(
    ("check", "changes", "severities"), CASES, ids=[f"{case[0]}-{number}" for number, case in enumerate(CASES)]
)
def test_a_check_on_both_sides_of_its_bound(check: str, changes: dict[str, Any], severities: list[str]) -> None:
    assert found(check, **changes) == severities


def test_every_check_has_its_cases_and_everything_that_it_finds_says_what_to_do() -> None:
    assert {case[0] for case in CASES} == {check.name for check in CHECKS}
    for _, changes, _ in CASES:
        for one in doctor.examine(dataclasses.replace(GOOD, **changes)):
            assert bool(one.advice) is (one.severity in (WARNING, PROBLEM)), one


def test_what_is_not_known_is_not_judged() -> None:
    unknown = {one.check for one in doctor.examine(Facts(settings=GOOD.settings)) if one.severity == UNKNOWN}
    assert unknown == {check.name for check in CHECKS if check.needs}
    assert {one.severity for one in doctor.examine(Facts(settings=GOOD.settings))} == {UNKNOWN, OK}
    for one in doctor.examine(Facts(settings=GOOD.settings)):
        assert one.text.startswith("not checked: ") is (one.severity == UNKNOWN), "it is not said that all is well"


def test_the_worst_comes_first_and_decides_the_status() -> None:
    worst = dataclasses.replace(GOOD, writable=("/srv",), synchronised=False, somaxconn=None)
    findings = doctor.examine(worst)
    assert [one.severity for one in findings[:3]] == [PROBLEM, WARNING, UNKNOWN]
    result = doctor.report(findings)
    assert (result["status"], result["message"]) == (8, f"{len(CHECKS)} checks: 1 problem, 1 warning")
    assert doctor.report(doctor.examine(dataclasses.replace(GOOD, synchronised=False)))["status"] == 0


def test_the_unit_that_we_make_passes() -> None:
    """The one that `releve systemd-unit` prints, as `systemctl show` has it."""
    made = dict(
        line.split("=", 1)
        for line in unit.unit(GOOD.settings, unit.Place("/etc/x.yaml", "/usr/bin", "x")).splitlines()
        if "=" in line
    )
    told = {"TimeoutStartUSec": f"{made['TimeoutStartSec']}s", "TimeoutStopUSec": f"{made['TimeoutStopSec']}s"}
    told |= {"WatchdogUSec": f"{made['WatchdogSec']}s"}
    told |= {name: made[name] for name in ("Type", "KillMode", "PIDFile", "FileDescriptorStoreMax")}
    assert found("unit", unit=Unit(told)) == [OK]
