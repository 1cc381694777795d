"""The environment of a generation: what it is made of, and whose programs it leads to."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from harness.pins import refused
from releve.config.settings.settings import Settings
from releve.supervisor.release.environment import make_environment
from releve.supervisor.release.errors import ReleaseError
from releve.supervisor.release.interpreter import own_python


def test_the_environment_is_base_then_file_then_env(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("B=file\nC=file\n")
    settings = Settings(directory=str(tmp_path), env_file=f"{tmp_path}/env", env={"C": "env"})
    base = {"A": "base", "B": "base", "PWD": "/elsewhere", "OLDPWD": "/older", "NOTIFY_SOCKET": "/n", "LISTEN_FDS": "1"}
    assert make_environment(settings, base, "/srv/1", "/usr/bin/python3") == {
        "A": "base",
        "B": "file",
        "C": "env",
        "PWD": "/srv/1",
    }
    assert base["PWD"] == "/elsewhere"


def test_another_interpreter_does_not_get_our_python_home() -> None:
    base = {"PYTHONHOME": "/h", "VIRTUAL_ENV": "/v", "PYTHONPATH": "/p"}
    assert make_environment(Settings(), base, "/srv", "/other/python") == {"PYTHONPATH": "/p", "PWD": "/srv"}
    own = make_environment(Settings(), base, "/srv", own_python())
    assert own["PYTHONHOME"] == "/h" and own.get("VIRTUAL_ENV") != "/v"


def test_an_environment_file_that_cannot_be_read_isrefused(tmp_path: Path) -> None:
    step, reason = refused(tmp_path, env_file=f"{tmp_path}/gone")
    assert step == "environment"
    assert f"{tmp_path}/gone" in reason
    (tmp_path / "env").write_text("no assignment\n")
    assert f"{tmp_path}/env:1" in refused(tmp_path, env_file=f"{tmp_path}/env")[1]


def test_no_bytecode_is_written_while_code_is_watched(tmp_path: Path) -> None:
    for watch, value in (("off", None), ("release", None), ("code", "1")):
        settings = Settings(app="app:app", directory=str(tmp_path), watch=watch)
        environment = make_environment(settings, {}, str(tmp_path), own_python())
        assert environment.get("PYTHONDONTWRITEBYTECODE") == value


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """``current`` -> ``releases/one``, one of two with a virtual environment each."""
    for name in ("one", "two"):
        bin_ = tmp_path / "releases" / name / ".venv" / "bin"
        bin_.mkdir(parents=True)
        (bin_.parent / "pyvenv.cfg").touch()
    (tmp_path / "current").symlink_to("releases/one")
    return tmp_path


def _environment(shop: Path, release: str, **base: str) -> dict[str, str]:
    settings = Settings(directory=f"{shop}/current")
    folder = f"{shop}/releases/{release}"
    (shop / "current").unlink()
    (shop / "current").symlink_to(folder)
    return make_environment(settings, base, folder, f"{folder}/.venv/bin/python")


@pytest.mark.parametrize("way", ["current", "releases/one"])
def test_the_starters_virtual_environment_stays_behind_and_the_releases_comes_first(shop: Path, way: str) -> None:
    home = f"{shop}/{way}/.venv"  # as `activate` has it
    for name in ("one", "two", "one"):
        own = f"{shop}/releases/{name}/.venv"
        told = _environment(
            shop, name, VIRTUAL_ENV=home, VIRTUAL_ENV_PROMPT="(one)", PATH=f"{home}/bin:/usr/bin:{home}/bin/"
        )
        assert told == {"VIRTUAL_ENV": own, "PATH": f"{own}/bin:/usr/bin", "PWD": f"{shop}/releases/{name}"}


def test_a_supervisor_that_runs_from_a_release_leaves_nothing_of_it_to_the_next(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = f"{shop}/releases/one", f"{shop}/releases/two"
    monkeypatch.setattr(sys, "prefix", f"{one}/.venv")  # its folder is in PATH, but nobody has activated anything
    base = {"PATH": f"{one}/.venv/bin:{one}/tools:/usr/bin", "PYTHONPATH": f"{one}/lib:/srv/lib"}
    assert _environment(shop, "two", **base) == {
        "VIRTUAL_ENV": f"{two}/.venv",
        "PATH": f"{two}/.venv/bin:/usr/bin",
        "PYTHONPATH": "/srv/lib",
        "PWD": two,
    }
    assert _environment(shop, "one", **base)["PYTHONPATH"] == f"{one}/lib:/srv/lib"
    assert "PYTHONPATH" not in _environment(shop, "two", PYTHONPATH=f"{one}/lib")


def test_search_paths_lead_where_the_link_led(shop: Path) -> None:
    (shop / "current" / "lib").mkdir()
    settings = Settings(
        directory=f"{shop}/current", env={"PYTHONPATH": f"{shop}/current/lib", "OTHER": f"{shop}/current"}
    )
    told = make_environment(
        settings, {"PATH": f"/usr/bin:{shop}/current/bin"}, f"{shop}/releases/one", "/usr/bin/python3"
    )
    one = f"{shop}/releases/one"
    assert told == {"PATH": f"/usr/bin:{one}/bin", "PYTHONPATH": f"{one}/lib", "OTHER": f"{shop}/current", "PWD": one}


def test_env_has_the_last_word_on_the_search_path(shop: Path) -> None:
    folder = f"{shop}/releases/one"
    settings = Settings(directory=folder, env={"PATH": "/only", "VIRTUAL_ENV": ""})
    told = make_environment(settings, {"PATH": "/usr/bin"}, folder, f"{folder}/.venv/bin/python")
    assert (told["PATH"], told["VIRTUAL_ENV"]) == ("/only", "")


def test_an_environment_that_is_too_large_as_a_whole_names_its_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1 << 20, -1))  # of which a quarter is for variables
    base = {name: "x" * size for name, size in (("A", 60_000), ("B", 90_000), ("C", 80_000), ("D", 70_000))}
    with pytest.raises(
        ReleaseError, match="all variables have 300,0.. bytes together, .* the largest are B, C, D"
    ) as caught:
        make_environment(Settings(directory="/srv"), base, "/srv/1", "/usr/bin/python3")
    assert caught.value.step == "environment"
