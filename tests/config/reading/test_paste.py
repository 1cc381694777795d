"""PasteDeploy's files: what a server section says, by PasteDeploy's own reading, and the places of what cannot
be used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from releve.config.errors import ConfigError
from releve.config.kinds.objects import parse_app
from releve.config.reading import paste
from releve.config.reading.load import load
from releve.config.reading.sources import Overrides
from releve.config.settings.address import Address
from releve.server.wsgi.application import parse_target

APP = "[app:main]\nuse = egg:shop\n"

SECTIONS = {
    "plain": "[server:main]\nuse = egg:releve#main\nworkers = 3\nTimeouts = 1\n",
    "without a name": "[server:main]\nuse = egg:releve\nhost = 10.0.0.1\nport: 80\n",
    "defaults": (
        "[DEFAULT]\nlevel = info\nworkers = 9\n[server:main]\nuse = egg:releve#main\nlog.level = "
        "%(level)s\nworkers = 3\n"
    ),
    "here and the file": (
        "[server:main]\nuse = egg:releve#main\nrun = %(here)s/run\nfile = %(__file__)s\nby = %(__script__)s\n"
    ),
    "set and get": (
        "[DEFAULT]\na = 1\n[server:main]\nuse = egg:releve#main\nset color = blue\nget workers = a\nthreads = 2\n"
    ),
    "another section": (
        "[server:base]\nuse = egg:releve#main\nworkers = 3\nthreads = 2\n[server:main]\nuse = base\nthreads = 4\n"
    ),
    "another file": "[server:main]\nuse = config:base.ini#far\nthreads = 4\n",
    "a variable": "[server:main]\nuse = egg:releve#main\nport = %(port)s\nhost = %(host)s\n",
    "a variable that has a default": (
        "[DEFAULT]\nhost = 10.1.1.1\n[server:main]\nuse = egg:releve#main\nlisten = %(host)s:80\n"
    ),
    "several lines": "[server:main]\nuse = egg:releve#main\nlisten =\n    127.0.0.1:1\n    127.0.0.1:2\n",
    "explicit": "[server:main]\npaste.server_runner = releve.supervisor.paste:serve\nworkers = 2\n",
    "percent": "[server:main]\nuse = egg:releve#main\nlog.access_format = %%(h)s %%(r)s\n",
}


@pytest.mark.parametrize("text", SECTIONS.values(), ids=SECTIONS)
def test_a_section_says_what_pastedeploy_reads_in_it(text: str, tmp_path: Path) -> None:
    loadwsgi = pytest.importorskip("paste.deploy.loadwsgi")
    (tmp_path / "base.ini").write_text("[server:far]\nuse = egg:releve#main\nworkers = 7\nthreads = 1\n")
    file = tmp_path / "site.ini"
    file.write_text(APP + text)
    variables = {"port": "81", "host": "10.2.2.2", "__script__": "pserve"}
    theirs = loadwsgi.loadcontext(loadwsgi.SERVER, f"config:{file}", global_conf=variables)
    ours = paste.read_section(file, paste.Names(variables=tuple(variables.items())))
    assert ours.texts == dict(theirs.local_conf)
    assert ours.additions.items() <= theirs.global_conf.items()


def settings(tmp_path: Path, body: str, names: paste.Names | None = None, **environ: str) -> Any:
    file = tmp_path / "site.ini"
    file.write_text(f"{APP}\n[server:main]\nuse = egg:releve#main\n{body}")
    return load(file, Overrides(environ=environ), names).settings


def test_keys_with_dots_lists_and_blocks(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        "listen = 127.0.0.1:80, [::1]:81\n  unix:run/a.sock\nworkers = 3\ntimeouts.drain = 5s\nlimits.body = 1MiB\n"
        "proxy.trusted = 10.0.0.1 unix:\n"
        "upgrade.check.path = /ready\nupgrade.check.headers.X-Probe = yes\nenv.A = b c\n"
        "env.dotted.name = d\npreload_modules = a.b c\n",
    )
    assert [str(address) for address in found.listen] == ["127.0.0.1:80", "[::1]:81", f"unix:{tmp_path}/run/a.sock"]
    assert (found.workers, found.timeouts.drain, found.limits.body, found.proxy.trusted) == (
        3,
        5,
        1 << 20,
        ("10.0.0.1", "unix:"),
    )
    assert (found.upgrade.check.path, found.upgrade.check.headers) == ("/ready", {"X-Probe": "yes"})
    assert (found.env, found.preload_modules) == ({"A": "b c", "dotted.name": "d"}, ("a.b", "c"))
    assert (found.app, found.directory) == ("releve.server.paste:load('site.ini')", str(tmp_path))


@pytest.mark.parametrize(
    ("body", "addresses"),
    [
        ("", [Address("tcp", "127.0.0.1", 8000)]),
        ("port = 6543\n", [Address("tcp", "127.0.0.1", 6543)]),
        ("host = 0.0.0.0\nport = 80\n", [Address("tcp", "0.0.0.0", 80)]),
        ("host = ::1\n", [Address("tcp", "::1", 8000)]),
        ("unix_socket = /run/x.sock\nunix_socket_perms = 600\n", [Address("unix", path="/run/x.sock", mode=0o600)]),
        (
            "unix_socket = /run/x.sock\nport = 80\n",
            [Address("tcp", "127.0.0.1", 80), Address("unix", path="/run/x.sock")],
        ),
    ],
)
def test_addresses_as_other_servers_of_pastedeploy_name_them(
    tmp_path: Path, body: str, addresses: list[Address]
) -> None:
    assert list(settings(tmp_path, body).listen) == addresses


def test_a_variable_of_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    assert settings(tmp_path, "workers = 3\n", RELEVE_WORKERS="4").workers == 4


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("workrs = 3\n", "site.ini:6:1: cannot use 'workrs': unknown key; did you mean 'workers'?"),
        ("prot = 3\n", "site.ini:6:1: cannot use 'prot': unknown key; did you mean 'port'?"),
        ("bind = 3\n", "site.ini:6:1: cannot use 'bind': unknown key; did you mean 'listen'?"),
        ("timeouts.drian = 3s\n", "site.ini:6:1: cannot use 'drian' in timeouts: unknown key; did you mean 'drain'?"),
        ("workers = many\n", "site.ini:6:11: cannot use 'many' as workers: expected a whole number or auto"),
        ("port = x\n", "site.ini:6:8: cannot use '127.0.0.1:x' as listen: 'x' is not a port"),
        ("app = a:b\n", "site.ini:6:1: cannot use 'app' here: the application is the one that this file makes"),
        ("mounts./x = a:b\n", "site.ini:6:1: cannot use 'mounts./x' here"),
        ("host = a\nlisten = :80\n", "site.ini:7:1: cannot use listen beside host, port and unix_socket"),
        ("unix_socket_perms = 600\n", "site.ini:6:1: cannot use unix_socket_perms without unix_socket"),
        ("unix_socket = @x\n", "site.ini:6:15: cannot use '@x' as unix_socket: abstract sockets"),
        ("upgrade.check = /a\nupgrade.check.path = /b\n", (":7:1: cannot use 'upgrade.check.path': check has a value of its own on "
"line "
"6")),
        ("upgrade.check.path = /b\nupgrade.check = /a\n", ("site.ini:7:1: cannot use 'upgrade.check' as one value: it has keys of "
"its "
"own")),
        ("port = %(nowhere)s\n",
         "site.ini:6: cannot read port in [server:main]: there is no nowhere; "
         "give it as --define nowhere=VALUE (to pserve: nowhere=VALUE)"),
        ("port\n", "site.ini:6: cannot read it as a PasteDeploy file: this is neither a [section] nor NAME = value"),
        ("port = 1\nport = 2\n", ("site.ini:7: cannot read it as a PasteDeploy file: option 'port' in section "
"'server:main' "
"already exists")),
        ("get port = nowhere\n", ("site.ini: cannot get 'nowhere' for port in [server:main]: [DEFAULT] does not have "
"it")),
        ("[server:other]\nuse = egg:waitress#main\n", ("site.ini:7:7: cannot use 'egg:waitress#main': that is another "
"server")),
        ("[server:other]\nuse = other\n", "cannot read [server:other]: its uses go in a circle"),
        ("[server:other]\nuse = config:gone.ini\n", "gone.ini: cannot read the configuration: no such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_has_its_place(tmp_path: Path, body: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(tmp_path, body, paste.Names("other") if "other" in body else None)
    assert says in str(refused.value)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot find \[server:x\] in it; its server sections: server:main"):
        settings(tmp_path, "", paste.Names("x"))


def test_the_example_in_the_docs(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent.parent.parent / "docs" / "from-gunicorn.md").read_text(encoding="utf-8")
    file = tmp_path / "production.ini"
    file.write_text(page.partition("<!-- snippet paste -->\n```ini\n")[2].partition("```")[0])
    found = load(file).settings
    assert [str(address) for address in found.listen] == ["127.0.0.1:6543"] and found.env == {"LANG": "C.UTF-8"}


def test_the_application_is_named_relative_to_the_release(tmp_path: Path) -> None:
    names = paste.Names(app="second", variables=(("color", "it's"),))
    inside = paste.application(Path("/srv/current/conf/site.ini"), names, "/srv/current")
    outside = paste.application(Path("/etc/site.ini"), paste.Names(), "/srv/current")
    assert inside == """releve.server.paste:load('conf/site.ini', app='second', variables={'color': "it's"})"""
    assert outside == "releve.server.paste:load('/etc/site.ini')"
    for app in (inside, outside):
        assert parse_app(app, {}) == app and parse_target(app).factory


@pytest.mark.parametrize(
    "app", ["a:b", "a.b:c.d", "a:make()", "a:make('x/y', 1, k=[True, None])", 'a:make({"k": "v:w.py"})']
)
def test_calls_with_literals_are_applications(app: str) -> None:
    assert parse_app(app, {}) == app
    parse_target(app)


@pytest.mark.parametrize(
    "app",
    [
        "a:make(x)",
        "a:make(*[1])",
        "a:make(**{})",
        "a:make(f())",
        "a:make(1)()",
        "a:make('x'",
        "a:make(1).b",
        "a:(1)",
        "a:make(1) ",
    ],
)
def test_other_calls_are_none(app: str) -> None:
    with pytest.raises(ValueError, match="expected module:object"):
        parse_app(app, {}) if not app.endswith(" ") else parse_app(f"{app}or b", {})
