"""``releve import`` as it is typed: what is written where, what is said, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releve.config.reading.build import build
from releve.config.reading.yaml_file import parse
from releve.importer.command import convert, run
from releve.importer.gunicorn import gunicorn
from releve.importer.settings.site import Site

NUMBERS = (
    "timeout", "graceful_timeout", "keepalive", "limit_request_line", "limit_request_fields",
    "limit_request_field_size",
    "backlog", "worker_connections", "max_requests", "max_requests_jitter",
)  # fmt: skip

Import = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Import:
    """Run ``releve import`` in ``tmp_path``: its exit status, output and messages."""
    monkeypatch.chdir(tmp_path)
    for name in ("PWD", "PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "GUNICORN_CMD_ARGS"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str, **environ: str) -> tuple[int, str, str]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        status = run(arguments)
        said = capfd.readouterr()
        return status, said.out, said.err

    return call


def test_the_file_that_is_written_passes_the_check(importing: Import, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(
        "workers = 4\nbind = ['0.0.0.0:8000', 'unix:/run/x.sock']\ncertfile = '/etc/x.pem'\n"
        "raw_env = ['A=it\\'s: #1', 'B=', 'C=off', 'É=ü\\nx']\n"
    )
    status, out, err = importing("gunicorn.conf.py", "mysite.wsgi", "-o", "releve.yaml")
    assert (status, out) == (0, "")
    assert (
        "certfile = '/etc/x.pem' (gunicorn.conf.py): Let a proxy in front do TLS" in err
        and "keys to releve.yaml" in err
    )
    command = [sys.executable, "-m", "releve", "check", "-c", "releve.yaml"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert checked.stdout.startswith(
        f"{tmp_path}/releve.yaml: valid; mysite.wsgi:application on 0.0.0.0:8000, unix:/run/x.sock"
    ), checked
    text = (tmp_path / "releve.yaml").read_text()
    assert build(parse(text, "x", "/"), {}).env == {"A": "it's: #1", "B": "", "C": "off", "É": "ü\nx"}
    assert "# certfile = " in text and "# workers, gunicorn.conf.py" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gunicorn.conf.py", "releve.yaml"], (
        "no bytecode, nothing half-written"
    )


def test_a_file_that_is_there_is_not_overwritten(importing: Import, tmp_path: Path) -> None:
    (tmp_path / "releve.yaml").write_text("app: mine:app\n")
    status, out, err = importing("-o", "releve.yaml", "--", "gunicorn", "a:b")
    assert (status, out) == (2, "") and "it exists already; --force overwrites it" in err
    assert (tmp_path / "releve.yaml").read_text() == "app: mine:app\n"
    assert importing("-o", "releve.yaml", "--force", "--", "gunicorn", "a:b")[0] == 0
    assert "app: a:b" in (tmp_path / "releve.yaml").read_text()


@pytest.mark.parametrize(
    "words", ["-- gunicorn -w 3 a:b", "-- -w 3 a:b", "gunicorn -w 3 a:b", "-- python3 -m gunicorn -w 3 a:b"]
)
def test_a_command_line_with_and_without_the_command(importing: Import, words: str) -> None:
    status, out, _ = importing(*words.split())
    assert status == 0 and "workers: 3 " in out and "app: a:b" in out


def test_the_environment_counts(importing: Import) -> None:
    _, out, err = importing("--", "a:b", GUNICORN_CMD_ARGS="--threads 3", PORT="5001", WEB_CONCURRENCY="2")
    assert (
        "threads: 3 " in out
        and "listen: 0.0.0.0:5001 " in out
        and "# workers, WEB_CONCURRENCY in the environment" in out
    )
    assert "0 remarks" in err
    assert "PORT is set in the environment, and overrides listen" in importing("--", "-b", ":1", "a:b")[2]


@pytest.mark.parametrize(
    ("words", "text", "says"),
    [
        ("gunicorn.conf.py", "workers = 1\n", "neither the file (wsgi_app) nor the command line names an application"),
        ("gone.py", "", "cannot read gone.py: no such file"),
        ("gunicorn.conf.py a:b -- -c b.py", "", "cannot read two files, gunicorn.conf.py and b.py: give one"),
        ("gunicorn.conf.py a:b", "workers = 'many'\n", ("cannot use 'many' as workers (gunicorn.conf.py): expected a "
"whole "
"number")),
        ("gunicorn.conf.py a:b", "bind = '*:80'\n", "cannot use '*:80' of bind (gunicorn.conf.py) as an address"),
        ("gunicorn.conf.py a:b", "raw_env = ['A']\n", "cannot use 'A' as raw_env: expected NAME=VALUE"),
        ("gunicorn.conf.py a:b", "import gunicorm\n",
         "cannot read gunicorn.conf.py: ModuleNotFoundError: No module named 'gunicorm'; it ran with"),
        ("gunicorn.conf.py a:b", "import sys\nsys.exit(3)\n", "cannot read gunicorn.conf.py: SystemExit: 3"),
        ("gunicorn.conf.py a:b", "import os\nos._exit(3)\n", ("cannot read gunicorn.conf.py: Python exited with status "
"3")),
        ("gunicorn.conf.py a/b.py", "", "expected a module, not a file"),
        ("gunicorn.conf.py a:b", "raw_env = ['A=\\udcff']\n", ("cannot write it as YAML: it has bytes that are not "
"UTF-8")),
        ("--python gone gunicorn.conf.py a:b", "",
         "cannot run gunicorn.conf.py with gone: no such file or directory; choose another with --python"),
        ("-- gunicorn --wrokers 3 a:b", "", ("cannot read the command line of gunicorn: unrecognized arguments: "
"--wrokers")),
        ("gunicorn.conf.py a:b", "worker_class = 'aiohttp.GunicornWebWorker'\n",
         ("cannot carry over worker_class = 'aiohttp.GunicornWebWorker' (gunicorn.conf.py): its "
"applications are not WSGI")),
        ("-- gunicorn -k uvicorn.workers.UvicornWorker a:b", "", ("ASGI applications (FastAPI, Starlette) stay with an "
"ASGI "
"server")),
        ("-- gunicorn -c", "", "cannot read the command line of gunicorn: argument -c/--config: expected one argument"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported(importing: Import, tmp_path: Path, words: str, text: str, says: str) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(text)
    status, out, err = importing(*words.split())
    assert (status, out) == (2, "") and says in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("worker_class = 'gevent'\n", "worker_class = 'gevent' (gunicorn.conf.py): Greenlets"),
        ("worker_class = 'eventlet'\n", "WebSockets are not served: Socket.IO can do with long polling"),
        ("raw_env = ['A=1']\n",
            ("raw_env = ['A=1'] (gunicorn.conf.py): The same, one key each; a change needs "
"`ctl "
"upgrade`")),
        ("graceful_timeout = 9\n", "(`atexit`, threads) has `timeouts.exit`, 5 s, then"),
        ("preload_app = True\n", "The same if it is on, except that each worker seeds random generators again"),
        ("def worker_exit(server, worker):\n    pass\n", "name it in `hooks.on_exit`; `atexit` works too"),
        ("pidfile = '/run/x.pid'\n", "`ctl` finds the service"),
        ("def post_fork(server, worker):\n    pass\n", "post_fork = <post_fork> (gunicorn.conf.py): "),
        ("worker = 3\n", "worker = 3 (gunicorn.conf.py): not a setting of gunicorn, which ignores it; did you mean"),
        ("bind = 'fd://3'\n", "write FileDescriptorName=http in the socket unit"),
        ("keepalive = 0\nthreads = 2\n", "connections are always kept open for a while"),
        (("access_log_format = '%(h)s %({cookie}i)s'\naccesslog = "
"'-'\n"), "cookie contains credentials, which are never logged; left out"),
        ("loglevel = 'critical'\n", "`critical` is `error`"),
        ("import os\ndel os.environ['HOME']\n", "gunicorn.conf.py removes HOME from the environment"),
        ("user = 'www'\n", "group: not set; here it is the group of the user"),
        ("proxy_protocol = True\nforwarded_allow_ips = '*'\n", ("with the PROXY protocol the trusted peers are those "
"of "
"proxy_allow_ips")),
        ("timeout = 90\nthreads = 3\n", "for this kind of worker a heartbeat"),
        ("workers = 0\n", "at least one worker serves"),
    ],
)  # fmt: skip
def test_what_has_no_equivalent_is_said_and_written(importing: Import, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(text)
    status, out, err = importing("gunicorn.conf.py", "a:b")
    assert status == 0 and says in err
    assert says in " ".join(line.removeprefix("#").strip() for line in out.splitlines() if line.startswith("#"))


def test_a_command_line_replaces_a_worker_class_that_cannot_be_carried_over(importing: Import, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("worker_class = 'uvicorn.workers.UvicornWorker'\nworkers = 3\n")
    status, out, _ = importing("--", "gunicorn", "-k", "gthread", "mysite.wsgi")
    assert status == 0 and "workers: 3 " in out and "app: mysite.wsgi:application" in out


def test_what_the_file_does_to_the_environment_is_kept(importing: Import, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(
        "import os\nprint('reading')\nos.environ['A'] = '1'\nraw_env = ['B=2']\n"
    )
    _, out, err = importing("gunicorn.conf.py", "a:b")
    assert build(parse(out, "x", "/"), {}).env == {"A": "1", "B": "2"}, "what the file prints is not in between"
    assert "reading" in err and "A" not in os.environ


def test_the_interpreter_beside_gunicorn_runs_the_file_and_the_site(importing: Import, tmp_path: Path) -> None:
    venv.create(tmp_path / "site", with_pip=False)
    (tmp_path / "site" / "bin" / "gunicorn").touch()
    (tmp_path / "gunicorn.conf.py").write_text("import sys\nraw_env = [f'P={sys.prefix}']\n")
    _, out, _ = importing("--", f"{tmp_path}/site/bin/gunicorn", "a:b")
    found = build(parse(out, "x", "/"), {})
    assert found.python == f"{tmp_path}/site/bin/python" and found.env == {"P": f"{tmp_path}/site"}


def test_a_pastedeploy_file(importing: Import) -> None:
    _, out, _ = importing("--", "gunicorn", "--paste", "production.ini#shop", "--paste-global", "color=red")
    assert (
        build(parse(out, "x", "/"), {}).app
        == "releve.server.paste:load('production.ini', app='shop', variables={'color': 'red'})"
    )


def test_help(importing: Import) -> None:
    status, out, _ = importing("--help")
    assert status == 0 and "--force" in out


DEFAULTS = gunicorn.read(["a:b"], {}, "/nowhere")


@settings(deadline=None, max_examples=50)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "workers": st.integers(0, 5000), "threads": st.integers(0, 5000), "umask": st.integers(0, 0o777),
            **{name: st.integers(0, 10**12) for name in NUMBERS},
            "worker_class": st.sampled_from(["sync", "gthread", "gevent", "x.Y"]),
            "accesslog": st.sampled_from([None, "-", "a log: #1", "/var/log/x"]),
            "user": st.sampled_from([None, 0, "www-data"]),
            "proxy_protocol": st.sampled_from([True, "v2", "off"]),
            "forwarded_allow_ips": st.sampled_from(["", "*", "10.0.0.0/8,::1"]),
            "chdir": st.sampled_from([".", "/srv/my site", "~x"]), "loglevel": st.text(max_size=8),
            "preload_app": st.booleans(),
        },
    )
)  # fmt: skip
def test_whatever_gunicorn_takes_becomes_a_configuration_that_is_valid(values: dict[str, Any]) -> None:
    changed = dict(DEFAULTS.values)
    for name, value in values.items():
        gunicorn.give(changed, name, value, "a test")
    text, _ = convert(Site(changed, "/nowhere", "a:b"), {})
    build(parse(text, "x", "/"), {})
