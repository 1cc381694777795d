"""The unit that is made for a configuration: what it says follows from the settings, and systemd finds nothing wrong
with it.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from releve.config.reading.sections import Names
from releve.config.settings.address import Address
from releve.config.settings.hooks import Command, Hooks
from releve.config.settings.limits import Limits
from releve.config.settings.log import Log
from releve.config.settings.settings import Settings
from releve.config.settings.timeouts import Timeouts
from releve.config.settings.upgrade import Check, Upgrade
from releve.supervisor.release.release import real_places
from releve.supervisor.systemd.quoting import UnitError, listed, program, word
from releve.supervisor.systemd.unit import MARGIN_S, Place, unit

PLACE = Place(config="/etc/releve/shop.yaml", commands="/opt/releve/bin", name="shop")
USUAL = Settings(app="shop:app", directory="/srv/shop", user="www-data")


def said(settings: Settings, name: str) -> list[str]:
    """Every value of a directive."""
    return [line.partition("=")[2] for line in unit(settings, PLACE).splitlines() if line.startswith(name + "=")]


def test_timeouts_follow_from_the_settings() -> None:
    settings = Settings(
        app="a:b",
        directory="/srv",
        workers=3,
        timeouts=Timeouts(boot=100, drain=60, linger=2.5),
        upgrade=Upgrade(check=Check(timeout=4)),
    )
    assert said(settings, "TimeoutStartSec") == [str(5 + 200 + 12 + MARGIN_S)]  # timeouts.bind is 5 s
    assert "# timeouts.bind, two boots (timeouts.boot), the hooks and the checks; " in unit(settings, PLACE), (
        "no probation is in it"
    )
    assert said(settings, "TimeoutStopSec") == [str(63 + MARGIN_S)]


def test_the_time_of_hooks_is_part_of_a_start() -> None:
    hooks = Hooks(
        before=Command("migrate", 600.0), after_commit=Command("announce"), on_rollback=Command("announce", 5.0)
    )
    settings = Settings(app="a:b", directory="/srv", timeouts=Timeouts(boot=100), hooks=hooks)
    assert said(settings, "TimeoutStartSec") == [str(5 + 200 + 665 + MARGIN_S)]
    assert said(settings, "TimeoutStopSec") == said(Settings(app="a:b", directory="/srv"), "TimeoutStopSec")


def test_a_stop_that_serves_on_first_gets_its_time() -> None:
    settings = Settings(app="a:b", directory="/srv", timeouts=Timeouts(pre_stop=10, drain=60, linger=2.5))
    assert said(settings, "TimeoutStopSec") == [str(73 + MARGIN_S)]


def test_what_the_supervisor_needs_to_keep_its_capability_to_itself() -> None:
    low = Settings(app="a:b", directory="/srv", user="x", listen=(Address("tcp", "", 80),))
    assert said(low, "SystemCallFilter") == ["@system-service", "~@privileged", "capset"]
    assert said(USUAL, "SystemCallFilter") == ["@system-service", "~@privileged"]


@pytest.mark.parametrize(("spool", "each"), [(None, 1), (1 << 30, 2)])
def test_limits_follow_from_the_settings(spool: int | None, each: int) -> None:
    limits = Limits(connections=50_000, spool=spool)
    settings = Settings(app="a:b", directory="/srv", limits=limits, listen=(Address("tcp", "::", 80),) * 3)
    assert int(said(settings, "LimitNOFILE")[0]) > each * 50_000
    assert int(said(settings, "FileDescriptorStoreMax")[0]) >= 6


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        (USUAL, "User", ["www-data"]),
        (USUAL, "CapabilityBoundingSet", [""]),
        (
            Settings(app="a:b", directory="/srv", user="x", listen=(Address("tcp", "", 80),)),
            "AmbientCapabilities",
            ["CAP_NET_BIND_SERVICE"],
        ),
        (Settings(app="a:b", directory="/home/me/site", user="x"), "ProtectHome", ["read-only"]),
        (USUAL, "ProtectHome", ["yes"]),
        (USUAL, "PrivateTmp", ["yes"]),
        (
            Settings(app="a:b", directory="/srv", user="x", listen=(Address("unix", path="/tmp/s"),)),
            "PrivateTmp",
            ["no"],
        ),
        (
            Settings(app="a:b", directory="/srv", user="x", log=Log(access="/var/log/shop/access")),
            "ReadWritePaths",
            ["-/var/log/shop"],
        ),
        (Settings(app="a:b", directory="/srv", listen=(Address("fd", name="http"),)), "Requires", ["shop.socket"]),
        (Settings(app="a:b", directory="/srv", runtime_directory="/run/x"), "RuntimeDirectory", ["x"]),
        (dataclasses.replace(USUAL, runtime_directory="/srv/run"), "RuntimeDirectory", []),
        (
            dataclasses.replace(USUAL, runtime_directory="/srv/run", state_directory="/etc/x"),
            "ReadWritePaths",
            ["-/etc/x -/srv/run"],
        ),
        (Settings(app="a:b", directory="/srv", state_directory="/etc/x"), "ReadWritePaths", ["-/etc/x"]),
        (Settings(app="a:b", directory="/srv", state_directory="/var/lib/x"), "StateDirectory", ["x"]),
        (dataclasses.replace(USUAL, log=Log(file="/home/me/log")), "ProtectHome", ["read-only"]),
        (dataclasses.replace(USUAL, log=Log(file="/dev/null")), "ReadWritePaths", []),
        (
            dataclasses.replace(USUAL, control_group="ops"),
            "SystemCallFilter",
            ["@system-service", "~@privileged", "@chown"],
        ),
        (
            dataclasses.replace(USUAL, listen=(Address("unix", path="/run/s", group="ops"),)),
            "SupplementaryGroups",
            ["ops"],
        ),
        (dataclasses.replace(USUAL, listen=(Address("unix", path="/run/s", owner="ann"),)), "User", []),
        (dataclasses.replace(USUAL, no_new_privileges=False), "User", []),
        (dataclasses.replace(USUAL, no_new_privileges=False), "NoNewPrivileges", []),
        (dataclasses.replace(USUAL, runtime_directory="/var/run/x"), "RuntimeDirectory", ["x"]),
        (dataclasses.replace(USUAL, runtime_directory="/var/run/x"), "PIDFile", ["/run/x/guard.pid"]),
        (
            dataclasses.replace(USUAL, listen=(Address("unix", path="/run/shop/s"),)),
            "RuntimeDirectory",
            ["releve/shop shop"],
        ),
        (
            dataclasses.replace(USUAL, listen=(Address("unix", path="/run/nginx/s"),)),
            "RuntimeDirectory",
            ["releve/shop"],
        ),
        (
            dataclasses.replace(USUAL, listen=(Address("unix", path="/run/releve/shop/s"),)),
            "RuntimeDirectory",
            ["releve/shop"],
        ),
        (dataclasses.replace(USUAL, listen=(Address("unix", path="/run/s"),)), "RuntimeDirectory", ["releve/shop"]),
        (dataclasses.replace(USUAL, include=("/home/me/conf.d/*.yaml",)), "ProtectHome", ["read-only"]),
        (
            dataclasses.replace(USUAL, hooks=Hooks(before=Command(("sh", "/home/me/migrate")))),
            "ProtectHome",
            ["read-only"],
        ),
        (
            dataclasses.replace(USUAL, hooks=Hooks(before=Command("cd / && /home/me/migrate"))),
            "ProtectHome",
            ["read-only"],
        ),
        (dataclasses.replace(USUAL, hooks=Hooks(before=Command("/srv/migrate /srv"))), "ProtectHome", ["yes"]),
        (USUAL, "RuntimeDirectory", ["releve/shop"]),
        (USUAL, "RuntimeDirectoryMode", ["0711"]),
        (dataclasses.replace(USUAL, control_group="ops"), "RuntimeDirectoryMode", ["0711"]),
        (dataclasses.replace(USUAL, control_group="ops"), "SupplementaryGroups", ["ops"]),
    ],
)
def test_a_directive_and_its_reason_in_the_settings(settings: Settings, name: str, value: list[str]) -> None:
    assert said(settings, name) == value


def test_what_links_lead_to_is_seen(tmp_path: Path) -> None:
    """An interpreter of pyenv or uv is in a home folder, wherever its environment is."""
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "there/bin").mkdir(parents=True)
    (tmp_path / "there/bin/python3.11").touch(0o755)
    (tmp_path / "venv/bin/python").symlink_to("../../there/bin/python3.11")
    (tmp_path / "shop.yaml").symlink_to("there/shop.yaml")
    settings = Settings(app="a:b", directory=str(tmp_path))
    places = real_places(settings, str(tmp_path / "shop.yaml"))
    there = f"{tmp_path}/there"
    assert {f"{there}/bin/python3.11", f"{there}/shop.yaml", str(tmp_path), os.path.realpath(sys.executable)} == set(
        places
    )
    text = unit(USUAL, dataclasses.replace(PLACE, real=("/home/me/.pyenv/bin/python3.11",)))
    assert "ProtectHome=read-only\n" in text


ODD = Place(config="/etc/re%leve $x.yaml", commands="/opt/my 5% $app/bin", name="re%leve $x")


def test_odd_paths_are_escaped_where_systemd_reads_them() -> None:
    settings = dataclasses.replace(
        USUAL,
        runtime_directory="/srv/r%n d",
        state_directory="/srv/a'b",
        spool_directory='/srv/a"b\\c',
        log=Log(access="/srv/x;y/$l"),
    )
    text = unit(settings, ODD)
    assert 'ExecStart="/opt/my 5%% $app/bin/releve" -c "/etc/re%%leve $$x.yaml"\n' in text
    assert 'ExecReload="/opt/my 5%% $app/bin/ctl" -c "/etc/re%%leve $$x.yaml" upgrade\n' in text
    assert "PIDFile=/srv/r%%n d/guard.pid\n" in text
    assert "Description=Relève, serving shop:app (/etc/re%%leve $x.yaml)\n" in text
    paths = [r'"-/srv/a\"b\\c"', '"-/srv/a\'b"', '"-/srv/r%%n d"', "-/srv/x;y"]
    assert f"ReadWritePaths={' '.join(paths)}\n" in text
    assert "RuntimeDirectory=releve/re-leve-x\n" in unit(USUAL, ODD)


@pytest.mark.parametrize(
    "place",
    [
        dataclasses.replace(ODD, config="/etc/a\nb.yaml"),
        dataclasses.replace(ODD, config="/etc/a\udcffb.yaml"),
        dataclasses.replace(ODD, commands="/opt/it's/bin"),
        dataclasses.replace(ODD, commands="/opt/back\\slash/bin"),
        dataclasses.replace(ODD, options=("--define", "a=\n")),
    ],
)
def test_what_systemd_cannot_have_is_refused(place: Place) -> None:
    with pytest.raises(UnitError, match=r"; (rename it|install releve at another path)$"):
        unit(USUAL, place)


@pytest.mark.parametrize(
    ("text", "in_list", "in_command", "as_program"),
    [
        ("/a/b", "/a/b", "/a/b", "/a/b"),
        ("/a;b", "/a;b", '"/a;b"', '"/a;b"'),  # by itself it would part two commands
        ("/a%b", "/a%%b", '"/a%%b"', "/a%%b"),
        ("/a$b", "/a$b", '"/a$$b"', "/a$b"),
        ("/a b", '"/a b"', '"/a b"', '"/a b"'),
        ("/a'b", '"/a\'b"', '"/a\'b"', None),
        ('/a"b', r'"/a\"b"', r'"/a\"b"', None),
        ("/a\\b", r'"/a\\b"', r'"/a\\b"', None),
        ("", "", '""', ""),
    ],
)
def test_each_kind_of_directive_has_quotes_of_its_own(
    text: str, in_list: str, in_command: str, as_program: str | None
) -> None:
    assert (listed(text), word(text)) == (in_list, in_command)
    if as_program is not None:
        assert program(text) == as_program


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
@pytest.mark.parametrize("port", [80, 8000])
def test_systemd_rates_it_as_hardened(tmp_path: Path, port: int) -> None:
    settings = Settings(
        app="shop:app", directory="/srv/shop", user="www-data", listen=(Address("tcp", "127.0.0.1", port),)
    )
    file = tmp_path / "shop.service"
    file.write_text(unit(settings, PLACE))
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=20", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_options_of_a_pastedeploy_file_are_in_the_command() -> None:
    names = Names("other", variables=(("color", 'a "b" $c 5%'), ("port", "80")))
    text = unit(Settings(app="a:b"), Place("/etc/site.ini", "/opt/bin", "site", names.flags()))
    options = '--server-name other --define "color=a \\"b\\" $$c 5%%" --define port=80'
    assert f"ExecStart=/opt/bin/releve -c /etc/site.ini {options}\n" in text
