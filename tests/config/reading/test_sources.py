"""Flags, variables and the file: which one counts, and how each is named."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from releve.config.errors import ConfigError
from releve.config.reading.load import Loaded, load
from releve.config.reading.sources import (
    Option,
    Overrides,
    logical_folder,
    overrides,
    variable_names,
)
from releve.config.settings.address import Address
from releve.config.settings.settings import rules


def read(folder: Path, environ: dict[str, str], options: Mapping[str, Option] | None = None) -> Loaded:
    path = folder / "releve.yaml"
    path.write_text("app: a:b\nworkers: 5\nlisten: 127.0.0.1:5000\n")
    return load(path, Overrides(options or {}, environ, folder / "here"))


def test_a_flag_comes_before_a_variable_before_the_file(tmp_path: Path) -> None:
    everything = {"WEB_CONCURRENCY": "6", "RELEVE_WORKERS": "7"}
    for environ, options, workers, source in [
        ({}, {}, 5, None),
        ({"WEB_CONCURRENCY": "6"}, {}, 6, "WEB_CONCURRENCY in the environment"),
        (everything, {}, 7, "RELEVE_WORKERS in the environment"),
        (everything, {"workers": 8}, 8, "--workers on the command line"),
        ({"RELEVE_WORKERS": "", "WEB_CONCURRENCY": ""}, {}, 5, None),
    ]:
        loaded = read(tmp_path, environ, options)
        assert (loaded.settings.workers, loaded.sources.get("workers")) == (workers, source)


def test_port_means_every_ipv4_address(tmp_path: Path) -> None:
    loaded = read(tmp_path, {"PORT": "80"})
    assert loaded.settings.listen == (Address("tcp", "0.0.0.0", 80),)
    assert loaded.sources == {"listen": "PORT in the environment"}


def test_a_list_in_a_variable_has_commas_and_on_the_command_line_it_is_one(tmp_path: Path) -> None:
    both = (Address("tcp", "127.0.0.1", 1), Address("unix", path=f"{tmp_path}/here/x"))
    assert read(tmp_path, {"RELEVE_LISTEN": "127.0.0.1:1, unix:x"}).settings.listen == both
    assert read(tmp_path, {}, {"listen": ["127.0.0.1:1", "unix:x"]}).settings.listen == both
    assert read(tmp_path, {}, {"listen": ["127.0.0.1:1"]}).settings.listen == both[:1]
    assert read(tmp_path, {"RELEVE_PRELOAD_MODULES": "a.b,c"}).settings.preload_modules == ("a.b", "c")


def test_relative_paths_of_flags_start_in_the_current_folder(tmp_path: Path) -> None:
    settings = read(tmp_path, {}, {"directory": "site", "python": ".venv/bin/python"}).settings
    assert (settings.directory, settings.python) == (f"{tmp_path}/here/site", f"{tmp_path}/here/site/.venv/bin/python")


def test_variables_reach_into_blocks(tmp_path: Path) -> None:
    settings = read(
        tmp_path, {"RELEVE_TIMEOUTS_BOOT": "5m", "RELEVE_UPGRADE_CHECK": "/up", "RELEVE_LIMITS_BODY": "1MiB"}
    ).settings
    assert (settings.timeouts.boot, settings.limits.body) == (300.0, 1 << 20)
    assert settings.upgrade.check is not None and settings.upgrade.check.path == "/up"


def test_every_key_but_the_blocks_of_names_has_a_variable_of_its_own() -> None:
    assert set(rules()) - set(variable_names().values()) == {"env", "mounts", "include"}
    assert len(variable_names()) == len(rules()) - 3


@pytest.mark.parametrize(
    ("environ", "options", "problem"),
    [
        ({"RELEVE_WORKERS": "x"}, {}, "RELEVE_WORKERS: cannot use 'x' as workers: expected a whole number or auto"),
        ({"WEB_CONCURRENCY": "0"}, {}, "WEB_CONCURRENCY: cannot use '0' as workers: at least 1"),
        ({"PORT": "http"}, {}, "PORT: cannot use 'http' as listen: 'http' is not a port"),
        (
            {"RELEVE_TIMEOUTS_BOOT": "30"},
            {},
            "RELEVE_TIMEOUTS_BOOT: cannot use '30' as timeouts.boot: a duration needs a unit; write 30s",
        ),
        ({}, {"workers": -1}, "--workers: cannot use '-1' as workers: at least 1"),
        (
            {},
            {"listen": ["1"]},
            (
                "--bind: cannot use '1' as listen: the host is missing; write 127.0.0.1:1 (this machine "
                "only) or :1 (every IPv4 address)"
            ),
        ),
        ({}, {"app": "a"}, "APP: cannot use 'a' as app: the object is missing; write a:application"),
        (
            {},
            {"limits.request_line": "x"},
            "--limits-request-line: cannot use 'x' as limits.request_line: expected a size such as 8190, 64KiB or 1MiB",
        ),
        ({}, {"nonsense": "x"}, "--nonsense: cannot use 'nonsense': unknown setting"),
    ],
)
def test_a_problem_names_the_flag_or_variable(
    tmp_path: Path, environ: dict[str, str], options: Mapping[str, Option], problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, environ, options)
    assert str(caught.value) == problem


def test_problems_of_the_file_and_of_variables_come_together(tmp_path: Path) -> None:
    path = tmp_path / "releve.yaml"
    path.write_text("app: a:b\nworkers: x")
    with pytest.raises(ConfigError) as caught:
        load(path, Overrides(environ={"RELEVE_THREADS": "y", "RELEVE_WORKERS": "3"}))
    assert [problem.place.source for problem in caught.value.problems] == [str(path), "RELEVE_THREADS"]


def test_a_misspelt_variable_is_noted_and_a_stranger_is_not(tmp_path: Path) -> None:
    loaded = read(tmp_path, {"RELEVE_WORKER": "3", "RELEVE_SOCKET": "/x", "RELEVE_COLOUR": "red", "HOME": "/"})
    assert loaded.notes == (
        "RELEVE_WORKER in the environment is not a setting and is ignored; did you mean RELEVE_WORKERS?",
    )
    assert loaded.settings.workers == 5


def test_without_a_file_the_directory_is_the_folder(tmp_path: Path) -> None:
    loaded = load(None, Overrides({"app": "test:app", "workers": "3"}, {"PORT": "81"}, tmp_path))
    assert (loaded.path, loaded.settings.app, loaded.settings.directory) == (None, "test:app", str(tmp_path))
    assert (loaded.settings.workers, str(loaded.settings.listen[0])) == (3, "0.0.0.0:81")
    assert loaded.sources == {
        "app": "APP on the command line",
        "workers": "--workers on the command line",
        "listen": "PORT in the environment",
    }


def test_without_a_file_and_an_application() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, Overrides(folder=Path("/")))
    assert (
        str(caught.value)
        == "command line: cannot start without app, the application to serve: write app: mysite.wsgi:application"
    )


def test_overrides_take_this_environment_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEVE_WORKERS", "4")
    assert overrides({}).environ["RELEVE_WORKERS"] == "4"
    assert overrides({}, {}).environ == {}


def test_the_current_folder_as_its_user_sees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "current").symlink_to("v1")
    monkeypatch.chdir(tmp_path / "current")
    assert logical_folder({"PWD": str(tmp_path / "current")}) == tmp_path / "current"
    for stale in ({}, {"PWD": "/"}, {"PWD": "current"}, {"PWD": "/nowhere/at/all"}, {"PWD": ""}):
        assert logical_folder(stale) == tmp_path / "v1"
