"""A configuration that is read: what every key makes of a good value, and where its paths start."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from harness.configurations import loaded, written
from releve.config.reading.load import load
from releve.config.settings.address import Address
from releve.config.settings.hooks import Command
from releve.config.settings.limits import Limits
from releve.config.settings.log import Log
from releve.config.settings.settings import rules
from releve.config.settings.timeouts import Timeouts
from releve.config.settings.upgrade import Canary, Check, Upgrade

DESIGN = """
app: mysite.wsgi:application
listen: 127.0.0.1:8000
workers: 2
python: auto
threads: 8
preload: auto
preload_modules: []
env: {}
user: null
runtime_directory: auto
state_directory: auto
limits:   {request_line: 8190, headers: 100, header: 8190, head: 64KiB, body: unlimited,
           connections: 10000, backlog: 2048}
timeouts: {header: 10s, keepalive: 75s, body: 30s, write: 30s, boot: 60s, drain: 30s, linger: 5s}
upgrade:
  check: off
  standby: 60s
  retire: 1h
proxy: {trusted: ["127.0.0.1", "::1", "unix:"], protocol: off}
log: {level: info, access: "-", access_format: combined}
watch: off
"""


def test_every_default_is_the_one_of_the_design(tmp_path: Path) -> None:
    assert loaded(tmp_path, DESIGN) == loaded(tmp_path, "app: mysite.wsgi:application")


def test_defaults_of_the_check_are_those_of_the_design(tmp_path: Path) -> None:
    text = (
        "app: a:b\nupgrade: {check: {path: /healthz, host: localhost, headers: {}, https: false, expect: "
        "200-399, timeout: 5s}}"
    )
    assert loaded(tmp_path, text) == loaded(tmp_path, "app: a:b\nupgrade: {check: /healthz}")


# One value for each key that is not its default, and what it becomes.
EVERY_KEY: dict[str, tuple[str, Any]] = {
    "app": ("app: site.wsgi:make()", "site.wsgi:make()"),
    "on_app_error": ("on_app_error: isolate", "isolate"),
    "directory": ("directory: /srv/current", "/srv/current"),
    "listen": ("listen: ['[::1]:80', 'fd:http']", (Address("tcp", "::1", 80), Address("fd", name="http"))),
    "workers": ("workers: 5", 5),
    "threads": ("threads: 1", 1),
    "python": ("python: /usr/bin/python3", "/usr/bin/python3"),
    "preload": ("preload: off", False),
    "preload_modules": ("preload_modules: [a.urls, b]", ("a.urls", "b")),
    "env": (
        "env: {DEBUG: off, MODE: 0660, EMPTY: '', VERSION: 1.10, NULL: 'null'}",
        {
            "DEBUG": "off",
            "MODE": "0660",
            "EMPTY": "",
            "VERSION": "1.10",
            "NULL": "null",
        },
    ),
    "env_file": ("env_file: /etc/site.env", "/etc/site.env"),
    "user": ("user: www-data", "www-data"),
    "group": ("group: 33", "33"),
    "umask": ("umask: 0027", 0o027),
    "no_new_privileges": ("no_new_privileges: no", False),
    "control_group": ("control_group: ops", "ops"),
    "runtime_directory": ("runtime_directory: /run/x", "/run/x"),
    "state_directory": ("state_directory: /var/lib/x", "/var/lib/x"),
    "spool_directory": ("spool_directory: /var/spool/x", "/var/spool/x"),
    "readiness": ("readiness: /ready", "/ready"),
    "limits.request_line": ("limits: {request_line: 4KiB}", 4096),
    "limits.headers": ("limits: {headers: 50}", 50),
    "limits.header": ("limits: {header: 1000}", 1000),
    "limits.head": ("limits: {head: 1.5KiB}", 1536),
    "limits.body": ("limits: {body: 10MB}", 10_000_000),
    "limits.spool": ("limits: {spool: 10GiB}", 10 << 30),
    "limits.streams": ("limits: {streams: 4}", 4),
    "limits.connections": ("limits: {connections: 7}", 7),
    "limits.requests": ("limits: {requests: 1000}", 1000),
    "limits.requests_jitter": ("limits: {requests_jitter: 100}", 100),
    "limits.rss": ("limits: {rss: 512MiB}", 512 << 20),
    "limits.backlog": ("limits: {backlog: 1}", 1),
    "request.buffer_chunked": ("request: {buffer_chunked: 64MiB}", 64 << 20),
    "timeouts.header": ("timeouts: {header: 1m30s}", 90.0),
    "timeouts.keepalive": ("timeouts: {keepalive: 5m}", 300.0),
    "timeouts.body": ("timeouts: {body: 1h}", 3600.0),
    "timeouts.write": ("timeouts: {write: 250ms}", 0.25),
    "timeouts.min_rate": ("timeouts: {min_rate: off}", None),
    "timeouts.request": ("timeouts: {request: 60s}", 60.0),
    "timeouts.boot": ("timeouts: {boot: 1.5s}", 1.5),
    "timeouts.bind": ("timeouts: {bind: off}", None),
    "timeouts.pre_stop": ("timeouts: {pre_stop: 10s}", 10.0),
    "timeouts.drain": ("timeouts: {drain: 7d}", 604800.0),
    "timeouts.linger": ("timeouts: {linger: 1ms}", 0.001),
    "timeouts.exit": ("timeouts: {exit: 9s}", 9.0),
    "upgrade.check": (
        (
            "upgrade: {check: {path: '/up?x=1', host: 'a.example:80', headers: {X-A: b}, https: yes, "
            "expect: 200, timeout: 2s}}"
        ),
        Check("/up?x=1", "a.example:80", {"X-A": "b"}, True, "200", 2.0),
    ),
    "upgrade.mode": ("upgrade: {mode: rolling}", "rolling"),
    "upgrade.canary": ("upgrade: {canary: {share: 2.5%, for: 5m}}", Canary(0.025, 300.0)),
    "upgrade.probation": ("upgrade: {probation: off}", None),
    "upgrade.standby": ("upgrade: {standby: off}", None),
    "upgrade.retire": ("upgrade: {retire: 10s}", 10.0),
    "proxy.trusted": ("proxy: {trusted: [10.0.0.0/8, '2001:DB8::1', unix]}", ("10.0.0.0/8", "2001:db8::1", "unix:")),
    "proxy.protocol": ("proxy: {protocol: on}", True),
    "control.may": ("control: {may: [status, upgrade]}", ("status", "upgrade")),
    "control.directories": ("control: {directories: [/srv/shop/releases]}", ("/srv/shop/releases",)),
    "hooks.before": ("hooks: {before: python manage.py migrate}", Command("python manage.py migrate")),
    "hooks.after_ready": ("hooks: {after_ready: [python, -m, warm, '']}", Command(("python", "-m", "warm", ""))),
    "hooks.after_switch": ("hooks: {after_switch: {run: warm, timeout: 5m}}", Command("warm", 300.0)),
    "hooks.after_commit": ("hooks: {after_commit: {run: [announce, 1]}}", Command(("announce", "1"))),
    "hooks.on_failure": ("hooks:\n  on_failure: |\n    one\n    two\n", Command("one\ntwo\n")),
    "hooks.on_rollback": ("hooks: {on_rollback: 'true'}", Command("true")),
    "hooks.after_fork": ("hooks: {after_fork: 'site.workers:Jobs.start'}", "site.workers:Jobs.start"),
    "hooks.on_pause": ("hooks: {on_pause: 'a:b'}", "a:b"),
    "hooks.on_resume": ("hooks: {on_resume: 'a:b'}", "a:b"),
    "hooks.on_exit": ("hooks: {on_exit: 'a:b'}", "a:b"),
    "log.level": ("log: {level: debug}", "debug"),
    "log.file": ("log: {file: /var/log/x.log}", "/var/log/x.log"),
    "log.format": ("log: {format: json}", "json"),
    "log.output": ("log: {output: plain}", "plain"),
    "log.access": ("log: {access: /var/log/x.log}", "/var/log/x.log"),
    "log.access_format": ("log: {access_format: '%(h)s %({x-a}i)s'}", "%(h)s %({x-a}i)s"),
    "watch": ("watch: code", "code"),
}


def test_the_table_above_has_every_key() -> None:
    # which have tests of their own: test_mounts.py
    assert list(EVERY_KEY) == [key for key in rules() if key not in ("mounts", "include")]


@pytest.mark.parametrize("key", EVERY_KEY)
def test_every_key_is_read_and_nothing_else_changes(tmp_path: Path, key: str) -> None:
    text, value = EVERY_KEY[key]
    group, _, name = key.rpartition(".")
    least = "app: a:b\ncontrol_group: ops" if group == "control" else "app: a:b"  # without that, it is refused
    base = loaded(tmp_path, least)
    if group:
        expected = dataclasses.replace(base, **{group: dataclasses.replace(getattr(base, group), **{name: value})})
    else:
        expected = dataclasses.replace(base, **{name: value})
    assert loaded(tmp_path, text if key == "app" else f"{least}\n{text}") == expected
    assert expected != base


def test_blocks_without_keys_and_null_are_defaults(tmp_path: Path) -> None:
    text = "app: a:b\nlimits:\ntimeouts: ~\nupgrade: {}\nlog: null\nenv:\npreload_modules:\nuser:\npython: null\n"
    assert loaded(tmp_path, text) == loaded(tmp_path, "app: a:b")


def test_words_in_any_case_and_quoted_numbers_will_do(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        (
            "app: a:b\npreload: AUTO\nworkers: '3'\nlog: {level: Debug}\nlimits: {body: Unlimited}\n"
            "upgrade: {standby: OFF}"
        ),
    )
    assert (settings.preload, settings.workers, settings.log.level, settings.limits.body) == (None, 3, "debug", None)
    assert settings.upgrade.standby is None


def test_workers_auto_is_the_number_of_usable_cores(tmp_path: Path) -> None:
    assert loaded(tmp_path, "app: a:b\nworkers: auto").workers == len(os.sched_getaffinity(0))


def test_paths_are_made_absolute_in_the_folder_of_the_file(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path, "app: a:b\ndirectory: current\npython: .venv/bin/python\nenv_file: etc/env\nlisten: unix:run/x.sock"
    )
    assert settings.directory == f"{tmp_path}/current"
    assert settings.python == f"{tmp_path}/current/.venv/bin/python"
    assert settings.env_file == f"{tmp_path}/etc/env"
    assert settings.listen == (Address("unix", path=f"{tmp_path}/run/x.sock"),)


def test_links_in_paths_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "current").symlink_to("v1")
    written(tmp_path / "v1", "app: a:b\ndirectory: ../current/sub")
    found = load(tmp_path / "current" / "releve.yaml")
    assert found.path == tmp_path / "current" / "releve.yaml"
    assert found.settings.directory == f"{tmp_path}/current/../current/sub"
    written(tmp_path / "v1", "app: a:b")
    assert load(tmp_path / "current" / "releve.yaml").settings.directory == f"{tmp_path}/current"


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    settings = loaded(tmp_path, "app: a:b\ndirectory: ~/site\npython: ~/py/bin/python\nlisten: unix:~/x.sock")
    assert (settings.directory, settings.python) == ("/home/somebody/site", "/home/somebody/py/bin/python")
    assert settings.listen[0].path == "/home/somebody/x.sock"


def test_settings_are_frozen_and_groups_have_their_types(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "app: a:b")
    assert [type(settings.limits), type(settings.timeouts), type(settings.upgrade), type(settings.log)] == [
        Limits,
        Timeouts,
        Upgrade,
        Log,
    ]
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.workers = 3  # type: ignore[misc]
