"""The command ``releve``: what its command line means, and its exit statuses before anything runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from harness import forked
from releve import __version__
from releve.config.errors import ConfigError
from releve.instance import cards
from releve.supervisor import cli
from releve.supervisor.service.configuration import Configuration

Releve = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def releve(tmp_path: Path) -> Releve:
    """Run ``releve`` to its end in ``tmp_path``."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RELEVE_")}
    for name in ("PWD", "PORT", "WEB_CONCURRENCY", "RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        environ.pop(name, None)

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return forked.run("releve", arguments, tmp_path, {**environ, **more}, 30)

    return run


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Configuration]:
    """The configuration that a command line means, given in ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    for name in ("PWD", "PORT", "WEB_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)

    def parse(*arguments: str) -> Configuration:
        found = cli.command("releve", "").main(list(arguments), standalone_mode=False)
        assert isinstance(found, Configuration)
        return found

    return parse


def test_every_flag(told: Callable[..., Configuration], tmp_path: Path) -> None:
    short = told(
        "-w",
        "3",
        "-b",
        "127.0.0.1:1",
        "-b",
        "[::1]:2",
        "-t",
        "4",
        "--chdir",
        "rel",
        "--python",
        "v/bin/python",
        "--watch",
        "code",
        "test:app",
    )
    long = told(
        "--workers=3",
        "--bind=127.0.0.1:1",
        "--bind=[::1]:2",
        "--threads=4",
        "--directory=rel",
        "--python=v/bin/python",
        "--watch=code",
        "test:app",
    )
    assert short == long
    assert (short.path, short.folder, short.app) == (None, tmp_path, "test:app")
    assert short.options == {
        "workers": "3",
        "listen": ["127.0.0.1:1", "[::1]:2"],
        "threads": "4",
        "directory": f"{tmp_path}/rel",
        "python": f"{tmp_path}/v/bin/python",
        "watch": "code",
    }
    settings = short.read().settings
    assert (settings.app, settings.workers, settings.threads, settings.watch) == ("test:app", 3, 4, "code")
    assert [str(address) for address in settings.listen] == ["127.0.0.1:1", "[::1]:2"]
    assert (settings.directory, settings.python) == (f"{tmp_path}/rel", f"{tmp_path}/v/bin/python")


def test_without_a_file_the_directory_is_the_current_one(told: Callable[..., Configuration], tmp_path: Path) -> None:
    loaded = told("-w", "3", "test:app").read()
    assert loaded.settings.directory == str(tmp_path) and loaded.path is None
    assert loaded.sources["workers"] == "--workers on the command line"


def test_a_flag_wins_over_the_file_and_the_file_is_read_afresh(
    told: Callable[..., Configuration], tmp_path: Path
) -> None:
    (tmp_path / "site.yaml").write_text("app: shop:app\nworkers: 4\nthreads: 2\n")
    configuration = told("-c", "site.yaml", "-w", "3", "other:app")
    assert configuration.path == tmp_path / "site.yaml"
    settings = configuration.read().settings
    assert (settings.app, settings.workers, settings.threads) == ("other:app", 3, 2)
    (tmp_path / "site.yaml").write_text("app: shop:app\nthreads: 5\n")
    assert configuration.read().settings.threads == 5


def test_options_of_one_upgrade(told: Callable[..., Configuration], tmp_path: Path) -> None:
    configuration = told("-w", "3", "test:app")
    changed = configuration.changed(directory="/srv/42", python=None)
    assert changed.read().settings.directory == "/srv/42" and changed.read().settings.workers == 3
    assert configuration.read().settings.directory == str(tmp_path) and changed.name == configuration.name


def test_the_usual_file_is_used_if_nothing_is_named(told: Callable[..., Configuration], tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match=r"no application is given; use -c FILE, or an application"):
        told()
    (tmp_path / "releve.yaml").write_text("app: shop:app\n")
    assert told().path == tmp_path / "releve.yaml" and told("-w", "3").path == tmp_path / "releve.yaml"
    assert told("test:app").path is None


def test_where_it_was_started_is_told_with_links_not_followed(
    told: Callable[..., Configuration], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "41").mkdir()
    (tmp_path / "current").symlink_to("41")
    monkeypatch.chdir(tmp_path / "current")
    assert told("test:app").folder == tmp_path / "41"
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    assert told("test:app").folder == tmp_path / "current"
    assert told("-c", "site.yaml").path == tmp_path / "current" / "site.yaml"
    assert told("-c", "../site.yaml").path == tmp_path / "site.yaml"


def test_the_card_names_folder_file_and_socket(told: Callable[..., Configuration], tmp_path: Path) -> None:
    card = told("-c", "site.yaml").card(tmp_path / "run")
    assert card == cards.Card(
        os.getpid(), str(tmp_path), str(tmp_path / "site.yaml"), str(tmp_path / "run" / "ctl.sock")
    )
    assert told("test:app").card(tmp_path).config is None


def test_errors_name_the_flag(told: Callable[..., Configuration]) -> None:
    with pytest.raises(ConfigError, match="^--workers: cannot use 'many'"):
        told("-w", "many", "test:app").read()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no application is given"),
        (["--bogus", "test:app"], "--bogus"),
        (["test:app", "other:app"], "other:app"),
        (["-w"], "requires an argument"),
        (["-w", "0", "test:app"], "--workers"),
        (["-c", "absent.yaml"], "absent.yaml: cannot read the configuration: no such file or directory"),
        (["-c", "broken.yaml"], "broken.yaml:2:1: "),
        (["test:app", "check"], "check"),
        (["-w", "2", "check"], "write check:app"),
        (["check"], "no application is given"),
        (["check", "-c", "broken.yaml"], "broken.yaml:2:1: "),
        (["check", "-w", "0", "test:app"], "--workers"),
        (["--app-name", "shop", "test:app"], "without a PasteDeploy file"),
        (["-c", "broken.ini", "test:app"], "the file makes the application"),
        (["-c", "broken.ini", "--define", "color"], "expected NAME=VALUE"),
        (["check", "-c", "broken.ini"], "broken.ini:2:1: "),
        (["import", "gone.py"], "gone.py: no such file"),
        (["import", "--bogus"], "--bogus"),
    ],
)
def test_usage_and_configuration_errors_exit_with_2(
    releve: Releve, tmp_path: Path, arguments: list[str], says: str
) -> None:
    (tmp_path / "broken.yaml").write_text("app: shop:app\nworkrs: 3\n")
    (tmp_path / "broken.ini").write_text("[server:main]\nworkrs = 3\n")
    ended = releve(*arguments)
    assert ended.returncode == 2 and ended.stdout == ""
    assert says in ended.stderr and "Traceback" not in ended.stderr


def test_check_says_what_is_valid_and_where_values_come_from(releve: Releve, tmp_path: Path) -> None:
    (tmp_path / "releve.yaml").write_text("app: shop:app\nlisten: 127.0.0.1:8001\n")
    ended = releve("check", WEB_CONCURRENCY="4")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [
        f"{tmp_path}/releve.yaml: valid; shop:app on 127.0.0.1:8001",
        "workers comes from WEB_CONCURRENCY in the environment",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["releve.yaml"], "nothing is touched"


@pytest.mark.parametrize(("trusted", "status", "severity"), [("127.0.0.1", 0, "ok"), ("0.0.0.0/0", 8, "problem")])
def test_the_doctor_before_a_start(releve: Releve, tmp_path: Path, trusted: str, status: int, severity: str) -> None:
    (tmp_path / "releve.yaml").write_text(f"app: shop:app\nproxy: {{trusted: [{trusted}]}}\n")
    done = releve("doctor", "-c", "releve.yaml")
    assert (done.returncode, done.stderr) == (status, "")
    lines = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines() if line and not line.startswith(" ")}
    assert (lines["proxy"], lines["import"], lines["symlink"]) == (severity, "unknown", "warning")


def test_an_application_in_a_module_called_check(releve: Releve) -> None:
    assert releve("check", "check:app").stdout.startswith("the command line: valid; check:app on ")


def test_the_schema_is_printed(releve: Releve) -> None:
    done = releve("schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (Path(__file__).parents[2] / "docs" / "releve.schema.json").read_text("utf-8")
    assert "editors" in releve("schema", "--help").stdout
    assert releve("schema", "more").returncode == 2


@pytest.mark.parametrize("arguments", [["schema"], ["check", "app:application"]])
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, arguments: list[str]) -> None:
    """As ``releve check | head -1``: what a shell says of programs that SIGPIPE ends, and no traceback."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "releve", *arguments]
    done = subprocess.run(command, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_what_a_pastedeploy_file_lacks_is_said_with_the_flag_that_gives_it(releve: Releve, tmp_path: Path) -> None:
    (tmp_path / "x.ini").write_text(
        "[app:main]\nuse = egg:site\n[server:main]\nuse = egg:releve#main\nport = %(http_port)s\n"
    )
    refused = releve("check", "-c", "x.ini")
    assert refused.returncode == 2 and "pass --define http_port=VALUE (to pserve: http_port=VALUE)" in refused.stderr
    assert releve("check", "-c", "x.ini", "--define", "http_port=8001").stdout.startswith(f"{tmp_path}/x.ini: valid; ")


def test_a_configuration_is_imported(releve: Releve) -> None:
    ended = releve("import", "--", "gunicorn", "-w", "3", "shop:app", PORT="8001")
    assert ended.returncode == 0 and ended.stderr.splitlines()[-1].startswith("wrote 8 keys to standard output")
    assert "\napp: shop:app " in ended.stdout and "\nlisten: 0.0.0.0:8001 " in ended.stdout


def test_help_and_version(releve: Releve) -> None:
    assert releve("--version").stdout == f"releve {__version__}\n"
    for arguments in (["--help"], ["check", "--help"], ["-h"]):
        ended = releve(*arguments)
        assert ended.returncode == 0 and "--workers" in ended.stdout


def test_a_runtime_directory_that_cannot_be_used_is_a_configuration_error(releve: Releve, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    ended = releve(
        "-b",
        "unix:http.sock",
        "test:app",
        RELEVE_RUNTIME_DIRECTORY=str(tmp_path / "plain"),
        RELEVE_STATE_DIRECTORY=str(tmp_path / "s"),
    )
    assert (
        ended.returncode == 2
        and f"{tmp_path}/plain is not a folder" in ended.stderr
        and "Traceback" not in ended.stderr
    )


def test_a_second_supervisor_is_refused_and_not_for_its_configuration(releve: Releve, tmp_path: Path) -> None:
    """Status 1: systemd may try again, where 2 ends the trying (RestartPreventExitStatus=2)."""
    from releve.supervisor.service.lock import RuntimeLock

    lock = RuntimeLock.acquire(tmp_path / "run")
    try:
        ended = releve(
            "-b",
            "unix:http.sock",
            "test:app",
            RELEVE_RUNTIME_DIRECTORY=str(tmp_path / "run"),
            RELEVE_STATE_DIRECTORY=str(tmp_path / "s"),
        )
    finally:
        lock.release()
    assert ended.returncode == 1 and f"the supervisor with pid {os.getpid()} already runs this service" in ended.stderr
