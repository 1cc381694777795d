"""PasteDeploy's files: what a server section becomes, and the places of what cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from releve.config.errors import ConfigError
from releve.config.kinds.objects import parse_app
from releve.config.reading import paste
from releve.config.reading.load import load
from releve.config.reading.sections import Names
from releve.config.reading.sources import Overrides
from releve.config.settings.address import Address
from releve.server.wsgi.application import parse_target

APP = "[app:main]\nuse = egg:shop\n"


def settings(tmp_path: Path, body: str, names: Names | None = None, **environ: str) -> Any:
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
        ("app = a:b\n", "site.ini:6:1: cannot use 'app' here: this file makes the application"),
        ("mounts./x = a:b\n", "site.ini:6:1: cannot use 'mounts./x' here"),
        ("host = a\nlisten = :80\n", "site.ini:7:1: cannot use listen together with host, port and unix_socket"),
        ("unix_socket_perms = 600\n", "site.ini:6:1: cannot use unix_socket_perms without unix_socket"),
        ("unix_socket = @x\n", "site.ini:6:15: cannot use '@x' as unix_socket: abstract sockets"),
        ("upgrade.check = /a\nupgrade.check.path = /b\n",
            (":7:1: cannot use 'upgrade.check.path': check has a value of its own on "
"line "
"6")),
        ("upgrade.check.path = /b\nupgrade.check = /a\n",
            ("site.ini:7:1: cannot use 'upgrade.check' as one value: it has keys of "
"its "
"own")),
        ("port = %(nowhere)s\n",
         "site.ini:6: cannot read port in [server:main]: there is no nowhere; "
         "pass --define nowhere=VALUE (to pserve: nowhere=VALUE)"),
        ("port\n", "site.ini:6: cannot read it as a PasteDeploy file: this is neither a [section] nor NAME = value"),
        ("port = 1\nport = 2\n", ("site.ini:7: cannot read it as a PasteDeploy file: option 'port' in section "
"'server:main' "
"already exists")),
        ("get port = nowhere\n", ("site.ini: cannot get 'nowhere' for port in [server:main]: [DEFAULT] does not have "
"it")),
        ("[server:other]\nuse = egg:waitress#main\n", ("site.ini:7:7: cannot use 'egg:waitress#main': that is another "
"server")),
        ("[server:other]\nuse = other\n", "cannot read [server:other]: its `use` lines form a circle"),
        ("[server:other]\nuse = config:gone.ini\n", "gone.ini: cannot read the configuration: no such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_has_its_place(tmp_path: Path, body: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(tmp_path, body, Names("other") if "other" in body else None)
    assert says in str(refused.value)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot find \[server:x\] in it; its server sections: server:main"):
        settings(tmp_path, "", Names("x"))


def test_the_example_in_the_docs(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent.parent.parent / "docs" / "from-gunicorn.md").read_text(encoding="utf-8")
    file = tmp_path / "production.ini"
    file.write_text(page.partition("<!-- snippet paste -->\n```ini\n")[2].partition("```")[0])
    found = load(file).settings
    assert [str(address) for address in found.listen] == ["127.0.0.1:6543"] and found.env == {"LANG": "C.UTF-8"}


def test_the_application_is_named_relative_to_the_release(tmp_path: Path) -> None:
    names = Names(app="second", variables=(("color", "it's"),))
    inside = paste.application(Path("/srv/current/conf/site.ini"), names, "/srv/current")
    outside = paste.application(Path("/etc/site.ini"), Names(), "/srv/current")
    assert inside == """releve.server.paste:load('conf/site.ini', app='second', variables={'color': "it's"})"""
    assert outside == "releve.server.paste:load('/etc/site.ini')"
    for app in (inside, outside):
        assert parse_app(app, {}) == app and parse_target(app).factory
