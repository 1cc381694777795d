"""What our YAML means against what ``gunicorn --print-config`` prints, for many configurations.

The YAML is turned back into gunicorn's terms here, by other rules than those that made it.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from releve.config.reading.build import build
from releve.config.reading.yaml_file import parse
from releve.config.settings.settings import Settings
from releve.importer.command import convert
from releve.importer.gunicorn import gunicorn
from releve.importer.settings.site import Site


@dataclass(frozen=True)
class Case:
    """A gunicorn: its files, its command line, its environment."""

    arguments: str = ""
    files: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)


CASES = {
    "nothing": Case(),
    "short flags": Case("-w 3 -b :8000 -t 20"),
    "long flags": Case("--workers=5 --bind=127.0.0.1:9000 --bind [::1]:9000 --keep-alive 7 --graceful-timeout=12 "
        "--backlog 64"),
    "abbreviated flags": Case("--worker-conn 50 -k gthread --graceful 9 --max-requests 100 --max-requests-j 10 --prel"),
    "threads": Case("--threads 4 --timeout 90"),
    "gthread": Case("-k gthread --threads 2 --worker-connections 77 --keep-alive 3"),
    "the usual file": Case(files={
        "gunicorn.conf.py": "workers = 2 * 3\nbind = ['0.0.0.0:8001', 'unix:run/a.sock']\naccesslog = '-'\n"}),
    "a named file": Case("-c conf/prod.py", {"gunicorn.conf.py": "workers = 9\n",
        "conf/prod.py": "import os\nworkers = 4\nbacklog = '0x80'\n"}),
    "a file by its scheme": Case("-c file:prod.py",
        {"prod.py": "preload_app = 'true'\nreload = False\nloglevel = 'WARNING'\n"}),
    "a module": Case("--config python:conf.prod",
        {"conf/__init__.py": "", "conf/prod.py": "threads = 3\nuser = None\n"}),
    "the command line comes before the file": Case("-w 2",
        {"gunicorn.conf.py": "workers = 7\nthreads = 2\ntimeout = 0\n"}),
    "the variable comes before the file": Case("",
        {"gunicorn.conf.py": "workers = 7\nthreads = 2\n"}, {"GUNICORN_CMD_ARGS": "-w 6 --env 'A=b c'"}),
    "the command line comes before the variable": Case("-w 2 --bind :1", {},
        {"GUNICORN_CMD_ARGS": "--workers 6 --bind :2 --timeout 5"}),
    "the variable names the file": Case("", {"other.py": "workers = 8\n"},
        {"GUNICORN_CMD_ARGS": "-c other.py --threads=2"}),
    "variables of platforms": Case("", {},
        {"PORT": "5005", "WEB_CONCURRENCY": "3", "FORWARDED_ALLOW_IPS": "10.0.0.0/8,::1"}),
    "the file comes before those": Case("",
        {"gunicorn.conf.py": "bind = ':7000'\nworkers = 1\n"}, {"PORT": "5005", "WEB_CONCURRENCY": "3"}),
    "limits": Case("--limit-request-line 2000 --limit-request-fields 20 --limit-request-field_size 3000"),
    "no limits": Case("--limit-request-line 0 --limit-request-fields 0 --limit-request-field_size 0 --max-requests 0"),
    "environment": Case("-e A=1 --env B=c=d",
        {"gunicorn.conf.py": "raw_env = ['Z=never seen']\npythonpath = 'lib, more'\n"}),
    "proxies": Case("--forwarded-allow-ips=10.1.0.0/16,192.0.2.7", {"gunicorn.conf.py": "forwarded_allow_ips = '*'\n"}),
    "proxy protocol": Case("--proxy-protocol --proxy-allow-from *"),
    "user, group and umask": Case("-u 33 --group 33 -m 027 -b unix:/run/x.sock",
        {"gunicorn.conf.py": "umask = 0o77\n"}),
    "logs": Case("--access-logfile logs/access.log --log-level debug",
        {"gunicorn.conf.py": "access_log_format = '%(h)s %({host}i)s'\n"}),
    "elsewhere": Case("--chdir sub/../sub",
        {"sub/app.py": "app = lambda environ, start: []\n", "gunicorn.conf.py": "accesslog = 'a.log'\n"}),
    "the application in the file": Case("-", {"gunicorn.conf.py": "wsgi_app = 'app:app'\nmax_requests = 5\n"}),
    "the class of a worker": Case("",
        {"gunicorn.conf.py": "from gunicorn.workers.gthread import ThreadWorker\n"
            "def worker_class():\n    return 'gthread'\n"}),
    "hooks": Case("",
        {"gunicorn.conf.py": "def on_starting(server):\n    pass\ndef post_fork(server, worker):\n    pass\n"
            "workers = 2\n"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_yaml_means_what_gunicorn_prints(case: Case, tmp_path: Path) -> None:
    for name, text in {"app.py": "app = lambda environ, start: []\n", **case.files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    arguments = [] if case.arguments == "-" else [*case.arguments.split(), "app:app"]
    environ = {"PATH": os.environ["PATH"], "PWD": str(tmp_path), **case.environ}
    printed = print_config(arguments, environ, tmp_path)
    site = gunicorn.read(["gunicorn", *arguments], environ, str(tmp_path), python=sys.executable)
    text, _ = convert(site, environ)
    settings = build(parse(text, "releve.yaml", str(tmp_path)), {})
    ours = in_gunicorns_terms(settings, printed, site)
    assert ours == {name: printed[name] for name in ours}
    assert len(ours) >= 20 and settings.app == "app:app"


def print_config(arguments: Sequence[str], environ: dict[str, str], folder: Path) -> dict[str, Any]:
    """What gunicorn would serve with, as it says itself; values that are no literals stay text."""
    command = [sys.executable, "-m", "gunicorn", *arguments[:-1], "--print-config", *arguments[-1:]]
    ended = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = {}
    for line in ended.stdout.splitlines():
        name, _, value = line.partition(" = ")
        try:
            found[name.strip()] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            found[name.strip()] = value
    return found


def in_gunicorns_terms(settings: Settings, printed: dict[str, Any], site: Site) -> dict[str, Any]:
    """The settings that map, as gunicorn would print them if it did what ours says.

    Where two values mean the same to gunicorn (0 and the most it takes), the printed one is meant.
    """
    limits, timeouts, directory = settings.limits, settings.timeouts, settings.directory
    threaded = printed["worker_class"] == "gthread" or printed["threads"] > 1
    found: dict[str, Any] = {
        "workers": settings.workers,
        "threads": settings.threads,
        "worker_class": printed["worker_class"]
        if (settings.threads == 1) == (not threaded) or printed["worker_class"] == "gthread"
        else "?",
        "max_requests": limits.requests or 0,
        "max_requests_jitter": limits.requests_jitter,
        "graceful_timeout": int(timeouts.drain),
        "backlog": limits.backlog,
        "chdir": directory,
        "limit_request_line": same(printed["limit_request_line"], limits.request_line, {0: 16 << 20}),
        "limit_request_fields": same(printed["limit_request_fields"], limits.headers, {0: 10000}),
        "limit_request_field_size": same(printed["limit_request_field_size"], limits.header, {0: 65536}),
        "reload": settings.watch == "code",
        "loglevel": same(printed["loglevel"], settings.log.level, {"WARNING": "warning"}),
        "accesslog": same(
            printed["accesslog"],
            settings.log.access,
            {name: f"{directory}/{name}" for name in ("a.log", "logs/access.log")},
        ),
        "proxy_protocol": "auto" if settings.proxy.protocol else "off",
        "user": os.geteuid() if settings.user is None else int(settings.user),
        "group": os.getegid() if settings.group is None else int(settings.group),
        "raw_env": [f"{name}={value}" for name, value in settings.env.items() if name != "PYTHONPATH"],
        "pythonpath": same(
            printed["pythonpath"], settings.env.get("PYTHONPATH"), {"lib, more": f"{directory}/ more:{directory}/lib"}
        ),
        "bind": addresses(settings, printed["bind"]),
        "access_log_format": settings.log.access_format
        if settings.log.access_format != "combined"
        else printed["access_log_format"],
    }
    trusted = ["*" if item == "0.0.0.0/0" else item for item in settings.proxy.trusted if item not in ("unix:", "::/0")]
    found["proxy_allow_ips" if settings.proxy.protocol else "forwarded_allow_ips"] = trusted
    if threaded:
        assert timeouts.request is None, "a heartbeat is no bound of a request"
        found["keepalive"] = int(timeouts.keepalive)
        found["worker_connections"] = limits.connections
    else:
        found["timeout"] = int(timeouts.request or 0)
    if site.values["preload_app"].given:
        found["preload_app"] = settings.preload
    if found["timeout" if "timeout" in found else "threads"] and printed["timeout"] > 60:
        assert timeouts.boot == printed["timeout"]
    return found


def same(theirs: Any, ours: Any, meaning: dict[Any, Any]) -> Any:
    """Theirs, where ours is what it means; else ours."""
    return theirs if meaning.get(theirs, theirs) == ours or (theirs is None and ours is None) else ours


def addresses(settings: Settings, theirs: list[str]) -> list[str]:
    """Our addresses, each in the spelling of gunicorn's where it is the same."""
    ours = []
    for address, told in zip(settings.listen, theirs, strict=True):
        text = str(address)
        if (
            address.kind == "unix"
            and told.startswith("unix:")
            and address.path == os.path.join(settings.directory, told[5:])
        ):
            ours.append(told)
        else:
            ours.append(told if told.startswith(":") and text == f"0.0.0.0{told}" else text)
    return ours


def test_the_mode_and_the_owner_of_a_socket(tmp_path: Path) -> None:
    site = gunicorn.read(
        ["-u", "33", "-g", "www-data", "-m", "027", "-b", "unix:///run/x.sock", "app:app"], {}, str(tmp_path)
    )
    text, draft = convert(site, {})
    (address,) = build(parse(text, "releve.yaml", str(tmp_path)), {}).listen
    assert (address.path, address.mode, address.owner, address.group) == ("/run/x.sock", 0o640, "33", "www-data")
    assert "umask" in draft.remarks
