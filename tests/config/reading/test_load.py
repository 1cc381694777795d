"""The YAML file: what is refused, with which words, and what every key makes of a good value."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import pytest

from releve.config.errors import ConfigError
from releve.config.reading.load import load
from releve.config.settings.address import Address
from releve.config.settings.hooks import Command
from releve.config.settings.limits import Limits
from releve.config.settings.log import Log
from releve.config.settings.settings import Settings, rules
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
limits:   {request_line: 8190, headers: 100, header: 8190, head: 64KiB, body: unlimited, connections: 10000, backlog: 2048}
timeouts: {header: 10s, keepalive: 75s, body: 30s, write: 30s, boot: 60s, drain: 30s, linger: 5s}
upgrade:
  check: off
  standby: 60s
  retire: 1h
proxy: {trusted: ["127.0.0.1", "::1", "unix:"], protocol: off}
log: {level: info, access: "-", access_format: combined}
watch: off
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "releve.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def loaded(folder: Path, text: str) -> Settings:
    return load(written(folder, text)).settings


def refused(folder: Path, text: str | bytes) -> list[str]:
    """The problems of a file, without the folder in front."""
    with pytest.raises(ConfigError) as caught:
        load(written(folder, text))
    return [line.removeprefix(f"{folder}/") for line in str(caught.value).split("\n")]


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


@pytest.mark.parametrize(
    ("limits", "why"),
    [("spool: off", "which is off; leave it out"), ("spool: 1MiB", "which is 1048576 bytes; raise that")],
)
def test_chunked_bodies_need_room_in_files(tmp_path: Path, limits: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"3:1: cannot use 2097152 bytes as request.buffer_chunked: .*{why}"):
        loaded(tmp_path, f"app: a:b\nlimits: {{{limits}}}\nrequest: {{buffer_chunked: 2MiB}}")


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


def test_an_anchor_is_read_where_its_alias_stands(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "app: a:b\ntimeouts: {body: &patience 7s, write: *patience}")
    assert settings.timeouts.body == settings.timeouts.write == 7.0


def test_aliases_of_aliases_cost_nothing(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    assert len(refused(tmp_path, "app: a:b\n" + "\n".join(lines))) == 60


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


def test_a_file_named_by_a_detour_has_its_plain_path(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    written(tmp_path, "app: a:b")
    assert load(tmp_path / "sub" / ".." / "releve.yaml").path == tmp_path / "releve.yaml"


def test_a_relative_file_is_found_in_the_folder_as_its_user_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "current").symlink_to("v1")
    written(tmp_path / "v1", "app: a:b")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    assert load(Path("releve.yaml")).settings.directory == f"{tmp_path}/current"
    monkeypatch.setenv("PWD", "/")
    assert load(Path("releve.yaml")).settings.directory == f"{tmp_path}/v1"


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    settings = loaded(tmp_path, "app: a:b\ndirectory: ~/site\npython: ~/py/bin/python\nlisten: unix:~/x.sock")
    assert (settings.directory, settings.python) == ("/home/somebody/site", "/home/somebody/py/bin/python")
    assert settings.listen[0].path == "/home/somebody/x.sock"


def test_a_unix_socket_takes_mode_owner_and_group(tmp_path: Path) -> None:
    for mode in ("0660", "660", "0o660", "'0660'"):
        settings = loaded(tmp_path, f"app: a:b\nlisten: {{unix: /run/x, mode: {mode}, owner: me, group: 33}}")
        assert settings.listen == (Address("unix", path="/run/x", mode=0o660, owner="me", group="33"),)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xef\xbb\xbfapp: a:b")
    assert load(path).settings.app == "a:b"


# Whole files: text, and the problems.
BAD_FILES: dict[str, tuple[str | bytes, list[str]]] = {
    "empty": ("", ["releve.yaml: cannot do without app, the application to serve: write app: mysite.wsgi:application"]),
    "only a comment": (
        "# nothing\n",
        ["releve.yaml: cannot do without app, the application to serve: write app: mysite.wsgi:application"],
    ),
    "no app": (
        "workers: 3",
        ["releve.yaml: cannot do without app, the application to serve: write app: mysite.wsgi:application"],
    ),
    "app is empty": ("app:", ["releve.yaml:1:5: cannot use an empty value as app: it is required"]),
    "a list": (
        "- app",
        ["releve.yaml:1:1: cannot use a list as a configuration: expected keys, such as app: mysite.wsgi:application"],
    ),
    "a word": (
        "hello",
        ["releve.yaml:1:1: cannot use 'hello' as a configuration: expected keys, such as app: mysite.wsgi:application"],
    ),
    "two documents": (
        "app: a:b\n---\napp: a:b",
        [
            (
                "releve.yaml:2:1: cannot read it as YAML: expected a single document in the stream but "
                "found another document"
            )
        ],
    ),
    "an open bracket": (
        "app: a:b\nlisten: [x\n",
        ["releve.yaml:3:1: cannot read it as YAML: expected ',' or ']', but got '<stream end>'"],
    ),
    "a tab": (
        "app: a:b\nlimits:\n\tbody: 1\n",
        [
            "releve.yaml:3:1: cannot read it as YAML: found character '\\t' that cannot start any token"
            " (YAML is indented with spaces, not tabs)"
        ],
    ),
    "v6 without quotes": (
        "app: a:b\nlisten: [::1]:80\n",
        [
            (
                "releve.yaml:2:10: cannot read it as YAML: expected the node content, but found ':' (an "
                "IPv6 address needs quotes: '[::1]:8000')"
            )
        ],
    ),
    "a star without quotes": (
        "app: a:b\nlisten: *:80\n",
        [
            "releve.yaml:2:10: cannot read it as YAML: expected alphabetic or numeric character, but found ':'"
            " (a word that begins with * needs quotes)"
        ],
    ),
    "no space after a colon": (
        "app: a:b\nworkers:2\nthreads: 3",
        [
            (
                "releve.yaml:3:1: cannot read it as YAML: could not find expected ':' (a space is needed "
                "after the colon of a key)"
            )
        ],
    ),
    "a control character": (
        "app: a:b\nwor\x07kers: 2",
        ["releve.yaml:2:4: cannot read it as YAML: U+0007 is not allowed in it"],
    ),
    "not UTF-8": (
        b"app: a:b\nuser: \xe9t\xe9",
        ["releve.yaml:2:7: cannot read the configuration: byte 0xe9 is not UTF-8"],
    ),
    "too deep": ("app: " + "[" * 5000, ["releve.yaml: cannot read it as YAML: it is nested too deeply"]),
    "too long": (
        b"#" * (1 << 20) + b"\n",
        ["releve.yaml: cannot read the configuration: it is larger than 1048576 bytes"],
    ),
    "a key twice": (
        "app: a:b\nworkers: 1\nworkers: 2",
        ["releve.yaml:3:1: cannot use 'workers' twice: it is on line 2 already"],
    ),
    "a key twice below": (
        "app: a:b\nenv: {A: 1, A: 2}",
        ["releve.yaml:2:13: cannot use 'A' twice: it is on line 2 already"],
    ),
    "a tag": (
        "app: !!python/name:os.system x",
        ["releve.yaml:1:6: cannot use the tag '!!python/name:os.system': tags have no meaning here"],
    ),
    "a merge key": ("x: &x {a: b}\n<<: *x", ["releve.yaml:2:1: cannot merge with <<: write the keys out"]),
    "a list as key": ("? [a, b]\n: c", ["releve.yaml:1:3: cannot use a list or block as a key"]),
    "an alias of itself": (
        "app: a:b\nenv: &e {A: *e}",
        ["releve.yaml:2:10: cannot use an alias inside of what it stands for"],
    ),
    "an unknown alias": (
        "app: *x",
        ["releve.yaml:1:6: cannot read it as YAML: found undefined alias 'x' (a word that begins with * needs quotes)"],
    ),
    "several problems in order": (
        "watch: of\nthreads: x\napp: a\n",
        [
            "releve.yaml:1:8: cannot use 'of' as watch: did you mean 'off'?",
            "releve.yaml:2:10: cannot use 'x' as threads: expected a whole number",
            "releve.yaml:3:6: cannot use 'a' as app: the object is missing; write a:application",
        ],
    ),
}


def test_settings_must_fit_into_one_message_of_the_link(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, f"app: a:b\nenv: {{X: {'x' * 70_000}, Y: {'y' * 70_000}}}")
    assert re.fullmatch(
        r"releve.yaml: cannot use 14\d{4} bytes of settings: at most 131072; long variables can move .*", problem
    )


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file(tmp_path: Path, name: str) -> None:
    text, problems = BAD_FILES[name]
    assert refused(tmp_path, text) == problems


# One more line after `app: a:b`, and the one problem, without `releve.yaml:2:`.
BAD_LINES = [
    (
        "timeouts: {thread: 3s}",
        "12: cannot use 'thread' in timeouts: unknown key here; did you mean threads, at the top level?",
    ),
    ("wrkers: 3", "1: cannot use 'wrkers': unknown key; did you mean 'workers'?"),
    ("preload-modules: []", "1: cannot use 'preload-modules': unknown key; did you mean 'preload_modules'?"),
    ("keepalive: 3s", "1: cannot use 'keepalive': unknown key here; did you mean timeouts.keepalive?"),
    ("body: 3s", "1: cannot use 'body': unknown key here; did you mean limits.body or timeouts.body?"),
    (
        "limits: {threads: 3}",
        "10: cannot use 'threads' in limits: unknown key here; did you mean threads, at the top level?",
    ),
    ("bind: ':80'", "1: cannot use 'bind': unknown key; did you mean 'listen'?"),
    ("graceful_timeout: 30", "1: cannot use 'graceful_timeout': unknown key; did you mean 'timeouts.drain'?"),
    ("zzz: 3", "1: cannot use 'zzz': unknown key"),
    (
        "log: {zzz: 3}",
        "7: cannot use 'zzz' in log: unknown key; known are access, access_format, file, format, level, output",
    ),
    ("upgrade: {check: {pth: /}}", "19: cannot use 'pth' in upgrade.check: unknown key; did you mean 'path'?"),
    # Keys that exist only once they work.
    ("forwarded_allow_ips: '*'", "1: cannot use 'forwarded_allow_ips': unknown key; did you mean 'proxy.trusted'?"),
    ("proxy: {trusted: ['*']}", "19: cannot use '*' in proxy.trusted: write 0.0.0.0/0 and ::/0 to trust everybody"),
    (
        "proxy: {trusted: 10.0.0.1/8}",
        "18: cannot use '10.0.0.1/8' as proxy.trusted: that is an address in a network; write 10.0.0.0/8",
    ),
    (
        "proxy: {trusted: [nginx]}",
        "19: cannot use 'nginx' in proxy.trusted: expected an IP address, a network such as 10.0.0.0/8, or unix:",
    ),
    (
        "upgrade: {trial: 5s}",
        "11: cannot use 'trial' in upgrade: unknown key; known are canary, check, mode, probation, retire, standby",
    ),
    ("upgrade: {probation: 0}", "22: cannot use '0' as upgrade.probation: 0 does not mean off; write off"),
    ("upgrade: {canary: 10}", "19: cannot use '10' as upgrade.canary: a share is written in percent; write 10%"),
    ("upgrade: {canary: 0.1}", "19: cannot use '0.1' as upgrade.canary: a share is written in percent; write 10%"),
    ("upgrade: {canary: 0%}", "19: cannot use '0%' as upgrade.canary: 0 does not mean off; write off"),
    ("upgrade: {canary: 100%}", "19: cannot use '100%' as upgrade.canary: at most 99%"),
    ("upgrade: {canary: no}", "19: cannot use 'no' as upgrade.canary: write off"),
    ("upgrade: {canary: {share: 0.5%}}", "27: cannot use '0.5%' as upgrade.canary.share: at least 1%"),
    ("upgrade: {canary: {share: 0%}}", "27: cannot use '0%' as upgrade.canary.share: it cannot be 0"),
    ("upgrade: {canary: {share: off}}", "27: cannot use 'off' as upgrade.canary.share: it cannot be switched off"),
    (
        "upgrade: {canary: {share: 33.333%}}",
        "27: cannot use '33.333%' as upgrade.canary.share: at most two digits after the point",
    ),
    (
        "upgrade: {canary: {share: a tenth}}",
        "27: cannot use 'a tenth' as upgrade.canary.share: expected a share such as 10%",
    ),
    ("upgrade: {canary: {for_: 3s}}", "20: cannot use 'for_' in upgrade.canary: unknown key; did you mean 'for'?"),
    ("upgrade: {canary: {for: 30}}", "25: cannot use '30' as upgrade.canary.for: a duration needs a unit; write 30s"),
    ("upgrade: {mode: roling}", "17: cannot use 'roling' as upgrade.mode: did you mean 'rolling'?"),
    # Shapes
    ("limits: 3", "9: cannot use '3' as limits: expected a block of keys"),
    ("limits: [a]", "9: cannot use a list as limits: expected a block of keys"),
    ("workers: [1]", "10: cannot use a list as workers: expected one value"),
    ("workers: {a: b}", "10: cannot use a block of keys as workers: expected one value"),
    ("workers:", "9: cannot use an empty value as workers: leave the key out for its default"),
    ("env: 3", "6: cannot use '3' as env: expected a block of names and values"),
    ("env: {A: }", "9: cannot use an empty value as env.A: write '' for an empty one"),
    ("env: {A: [b]}", "10: cannot use a list as env.A: expected text"),
    ("env: {'A=B': c}", "14: cannot use 'c' as env.A=B: expected the name of a variable"),
    ('env: {A: "\\0"}', "10: cannot use '\\x00' as env.A: a variable cannot hold a NUL character"),
    # The application
    ("app2: x", "1: cannot use 'app2': unknown key; did you mean 'app'?"),
    # Durations
    ("timeouts: {boot: 30}", "18: cannot use '30' as timeouts.boot: a duration needs a unit; write 30s"),
    ("timeouts: {boot: -30}", "18: cannot use '-30' as timeouts.boot: a duration needs a unit; write 30s"),
    ("timeouts: {boot: 0}", "18: cannot use '0' as timeouts.boot: it cannot be 0"),
    ("timeouts: {boot: 0s}", "18: cannot use '0s' as timeouts.boot: it cannot be 0"),
    (
        "timeouts: {boot: 30 s}",
        "18: cannot use '30 s' as timeouts.boot: expected a duration such as 30s, 5m, 1h30m or 250ms",
    ),
    (
        "timeouts: {boot: 5min}",
        "18: cannot use '5min' as timeouts.boot: expected a duration such as 30s, 5m, 1h30m or 250ms",
    ),
    (
        "timeouts: {boot: 1:30}",
        "18: cannot use '1:30' as timeouts.boot: expected a duration such as 30s, 5m, 1h30m or 250ms",
    ),
    (
        "timeouts: {boot: 5s1m}",
        "18: cannot use '5s1m' as timeouts.boot: expected a duration such as 30s, 5m, 1h30m or 250ms",
    ),
    ("timeouts: {boot: ''}", "18: cannot use '' as timeouts.boot: expected a duration such as 30s, 5m, 1h30m or 250ms"),
    ("timeouts: {boot: 8d}", "18: cannot use '8d' as timeouts.boot: at most 7d"),
    ("timeouts: {boot: 0.1ms}", "18: cannot use '0.1ms' as timeouts.boot: at least 1ms"),
    ("timeouts: {drain: off}", "19: cannot use 'off' as timeouts.drain: it cannot be switched off"),
    ("upgrade: {standby: 0}", "20: cannot use '0' as upgrade.standby: 0 does not mean off; write off"),
    ("upgrade: {standby: 0s}", "20: cannot use '0s' as upgrade.standby: 0 does not mean off; write off"),
    ("upgrade: {standby: never}", "20: cannot use 'never' as upgrade.standby: write off"),
    # Sizes
    ("limits: {body: 0}", "16: cannot use '0' as limits.body: 0 does not mean unlimited; write unlimited"),
    ("limits: {body: off}", "16: cannot use 'off' as limits.body: write unlimited"),
    ("limits: {body: 10M}", "16: cannot use '10M' as limits.body: 'M' is not a unit; write 10MiB"),
    ("limits: {body: 10XB}", "16: cannot use '10XB' as limits.body: expected a size such as 8190, 64KiB or 1MiB"),
    ("limits: {body: -1}", "16: cannot use '-1' as limits.body: expected a size such as 8190, 64KiB or 1MiB"),
    ("limits: {body: 0.3KiB}", "16: cannot use '0.3KiB' as limits.body: not a whole number of bytes"),
    (
        f"limits: {{body: {'9' * 400}}}",
        f"16: cannot use '{'9' * 77}...' as limits.body: expected a size such as 8190, 64KiB or 1MiB",
    ),
    ("limits: {head: 1GiB}", "16: cannot use '1GiB' as limits.head: at most 16MiB"),
    ("limits: {head: 100}", "16: cannot use '100' as limits.head: at least 256"),
    ("limits: {head: unlimited}", "16: cannot use 'unlimited' as limits.head: it cannot be switched off"),
    # Numbers
    ("workers: 0", "10: cannot use '0' as workers: at least 1"),
    ("workers: -1", "10: cannot use '-1' as workers: at least 1"),
    ("workers: 2.5", "10: cannot use '2.5' as workers: expected a whole number or auto"),
    ("workers: 257", "10: cannot use '257' as workers: at most 256"),
    ("threads: auto", "10: cannot use 'auto' as threads: expected a whole number"),
    ("umask: 0999", "8: cannot use '0999' as umask: expected an octal mode such as 0660"),
    ("umask: 01000", "8: cannot use '01000' as umask: at most 0777"),
    # Words
    ("preload: maybe", "10: cannot use 'maybe' as preload: expected true, false or auto"),
    ("watch: cod", "8: cannot use 'cod' as watch: did you mean 'code'?"),
    ("watch: zzz", "8: cannot use 'zzz' as watch: expected off, release or code"),
    ("watch: no", "8: cannot use 'no' as watch: write off"),
    ("log: {level: 3}", "14: cannot use '3' as log.level: expected debug, info, warning or error"),
    ("user: a b", "7: cannot use 'a b' as user: expected a name or a number"),
    (
        "preload_modules: [a-b]",
        "19: cannot use 'a-b' in preload_modules: expected the dotted name of a module, such as mysite.urls",
    ),
    ("preload_modules: [[a]]", "19: cannot use a list in preload_modules: expected one value"),
    # Paths
    ("directory: ''", "12: cannot use '' as directory: it is empty"),
    (
        "directory: ~nobody-of-this-name/x",
        (
            "12: cannot use '~nobody-of-this-name/x' as directory: ~nobody-of-this-name has no home folder "
            "here; write the path in full"
        ),
    ),
    (
        "python: python3.12",
        "9: cannot use 'python3.12' as python: expected a path such as .venv/bin/python or /usr/bin/python3",
    ),
    ('env_file: "a\\tb"', "11: cannot use 'a\\tb' as env_file: control characters cannot be used here"),
    # The check
    ("upgrade: {check: healthz}", "18: cannot use 'healthz' as upgrade.check: expected a path; write /healthz"),
    ("upgrade: {check: 'http://x/'}", "18: cannot use 'http://x/' as upgrade.check: expected a path such as /healthz"),
    (
        "upgrade: {check: '/a b'}",
        (
            "18: cannot use '/a b' as upgrade.check: a path has no spaces, '#' or characters beyond ASCII; "
            "write them as %20 and so on"
        ),
    ),
    ("upgrade: {check: true}", "18: cannot use 'true' as upgrade.check: expected a path; write /true"),
    ("upgrade: {check: [/]}", "18: cannot use a list as upgrade.check: expected one value"),
    (
        "upgrade: {check: {expect: 2xx}}",
        "27: cannot use '2xx' as upgrade.check.expect: expected statuses such as 200 or 200-299,404",
    ),
    (
        "upgrade: {check: {expect: 299-200}}",
        "27: cannot use '299-200' as upgrade.check.expect: the range 299-200 is empty; write 200-299",
    ),
    (
        "upgrade: {check: {host: 'a b'}}",
        "25: cannot use 'a b' as upgrade.check.host: expected a host name such as www.example.org",
    ),
    ("upgrade: {check: {https: 3}}", "26: cannot use '3' as upgrade.check.https: expected true or false"),
    (
        "upgrade: {check: {headers: {A B: c}}}",
        "34: cannot use 'c' as upgrade.check.headers.A B: expected the name of a header field",
    ),
    ("upgrade: {check: {headers: {Host: c}}}", "35: cannot use 'c' as upgrade.check.headers.Host: use host for it"),
    (
        'upgrade: {check: {headers: {A: "b\\r\\nC: d"}}}',
        "32: cannot use 'b\\r\\nC: d' as upgrade.check.headers.A: control characters cannot be used here",
    ),
    # Addresses
    ("listen: []", "9: cannot use a list as listen: nothing would listen"),
    ("listen: [':80', '0.0.0.0:80']", "17: cannot use '0.0.0.0:80' in listen: it is there twice"),
    (
        "listen: {unx: /a}",
        "9: cannot use a block of keys as listen: expected HOST:PORT, unix:PATH, fd:NAME or a block with the key unix",
    ),
    ("listen: {unix: /a, md: 3}", "20: cannot use 'md' in listen: unknown key; did you mean 'mode'?"),
    ("listen: {unix: /a, mode: 8}", "26: cannot use '8' as mode in listen: expected an octal mode such as 0660"),
    ("listen: {unix: , mode: 0600}", "15: cannot use an empty value as unix in listen: it is required"),
    (
        "listen: 8000",
        (
            "9: cannot use '8000' as listen: the host is missing; write 127.0.0.1:8000 (this machine only) "
            "or :8000 (every IPv4 address)"
        ),
    ),
]


@pytest.mark.parametrize(("line", "problem"), BAD_LINES, ids=[line[:40] for line, _ in BAD_LINES])
def test_bad_line(tmp_path: Path, line: str, problem: str) -> None:
    assert refused(tmp_path, f"app: a:b\n{line}\n") == [f"releve.yaml:2:{problem}"]


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        ("mysite.wsgi", "the object is missing; write mysite.wsgi:application"),
        ("mysite/wsgi.py", "a module, not a file, is imported; write mysite.wsgi:application"),
        ("app.py:app", "a module, not a file, is imported; write app:app"),
        ("app:", "expected module:object, such as mysite.wsgi:application"),
        (":app", "expected module:object, such as mysite.wsgi:application"),
        ("a b:c", "expected module:object, such as mysite.wsgi:application"),
        ("a:b(x)", "expected module:object, such as mysite.wsgi:application"),
        ("3a:b", "expected module:object, such as mysite.wsgi:application"),
    ],
)
def test_bad_app(tmp_path: Path, app: str, reason: str) -> None:
    assert refused(tmp_path, f'app: "{app}"') == [f"releve.yaml:1:6: cannot use {app!r} as app: {reason}"]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in [
        (tmp_path / "none.yaml", "no such file or directory"),
        (tmp_path, "is a directory"),
        (Path("a\0b"), "embedded null byte"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert str(caught.value) == f"{path}: cannot read the configuration: {reason}"


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
