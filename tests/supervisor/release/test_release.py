"""What a generation is pinned to, with real interpreters, links and virtual environments."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.descriptors import descriptors
from releve.config.settings import Settings
from releve.supervisor.host.identity import Identity
from releve.supervisor.release import release
from releve.supervisor.release.release import Pin, ReleaseError, git_revision, make_environment, pin


def _pin(directory: Path | str, **more: str | None) -> Pin:
    settings = Settings(app="app:application", directory=str(directory), **more)  # type: ignore[arg-type]
    return asyncio.run(pin(settings, os.environ))


def _refused(directory: Path | str, **more: str) -> tuple[str, str]:
    with pytest.raises(ReleaseError) as caught:
        _pin(directory, **more)
    return caught.value.step, str(caught.value)


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def _children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


@pytest.fixture(autouse=True)
def nothing_left() -> object:
    """No process and no descriptor outlives a test."""
    before = _children(), descriptors()
    yield
    assert (_children(), descriptors()) == before


# ---- directory


def test_the_directory_stays_literal_and_is_resolved_afresh_whatever_pwd_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in "12":
        (tmp_path / number).mkdir()
    (tmp_path / "current").symlink_to("1")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.delenv("PWD", raising=False)
    one = _pin(tmp_path / "current")
    os.unlink(tmp_path / "current")
    (tmp_path / "current").symlink_to("2")
    two = _pin(tmp_path / "current")
    assert (one.directory, one.resolved, one.environment["PWD"]) == (
        f"{tmp_path}/current",
        f"{tmp_path}/1",
        f"{tmp_path}/1",
    )
    assert (two.directory, two.resolved, two.environment["PWD"]) == (
        f"{tmp_path}/current",
        f"{tmp_path}/2",
        f"{tmp_path}/2",
    )


def test_a_directory_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "current").symlink_to("releases/9")
    (tmp_path / "loop").symlink_to("loop")
    assert _refused(tmp_path / "gone") == (
        "directory",
        f"cannot use the directory {tmp_path}/gone: it does not exist; deploy the release, or change directory",
    )
    assert "it is a link to releases/9, which does not exist" in _refused(tmp_path / "current")[1]
    assert "it is not a folder" in _refused(tmp_path / "file")[1]
    assert "symbolic links" in _refused(tmp_path / "loop")[1]
    assert "not an absolute path" in _refused("here")[1]


# ---- interpreter


def test_the_supervisors_own_interpreter_is_the_last_choice(tmp_path: Path) -> None:
    found = _pin(tmp_path)
    assert found.python == release.own_python()
    assert (found.python_version, found.prefix) == (".".join(map(str, sys.version_info[:3])), sys.prefix)
    assert found.binary == os.path.realpath(sys.executable)
    assert not found.lend
    assert found.releve is not None
    assert release.without_preload(found).preload is False


@pytest.mark.parametrize("folder", [".venv", "venv"])
def test_a_virtual_environment_of_the_directory_keeps_its_prefix(
    tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    target = tmp_path / "releases" / "1"
    target.mkdir(parents=True)
    venv.create(target / folder, symlinks=True)
    (tmp_path / "current").symlink_to("releases/1")
    for python in (None, f"{tmp_path}/current/{folder}/bin/python"):
        found = _pin(tmp_path / "current", python=python)
        assert found.python == f"{target}/{folder}/bin/python"  # not the real path, which is the base interpreter
        assert found.prefix == f"{target}/{folder}"
        assert found.lend  # nothing is installed there
        assert found.releve is None


def test_an_interpreter_below_the_directory_is_looked_up_in_the_resolved_one(tmp_path: Path) -> None:
    for number in "12":
        (tmp_path / number).mkdir()
        (tmp_path / number / "python").symlink_to(sys.executable)
    (tmp_path / "current").symlink_to("1")
    settings = Settings(directory=f"{tmp_path}/current", python=f"{tmp_path}/current/python")
    resolved = release.resolve_directory(settings.directory)
    os.unlink(tmp_path / "current")
    (tmp_path / "current").symlink_to("2")  # moves while the release is pinned
    assert release.choose_python(settings, resolved) == f"{tmp_path}/1/python"


def test_a_broken_virtual_environment_is_never_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to("/usr/bin/python3.0-gone")
    step, reason = _refused(tmp_path)
    assert step == "interpreter"
    assert f"{tmp_path}/.venv/bin/python: it is a link to /usr/bin/python3.0-gone, which does not exist" in reason


def test_an_interpreter_that_is_gone_or_no_program(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _refused(tmp_path, python=f"{tmp_path}/gone")[1].startswith(
        f"cannot use {tmp_path}/gone: it does not exist; "
    )
    assert "not a program" in _refused(tmp_path, python=f"{tmp_path}/file")[1]
    assert "not a program" in _refused(tmp_path, python=str(tmp_path))[1]
    (tmp_path / "file").chmod(0o755)
    (tmp_path / "file").write_bytes(b"\x7fELF garbage")
    step, reason = _refused(tmp_path, python=f"{tmp_path}/file")
    assert step == "interpreter"
    assert reason.startswith(f"cannot run {tmp_path}/file: exec format error")


def test_a_program_that_is_no_python_shows_its_last_words(tmp_path: Path) -> None:
    broken = _program(tmp_path / "python", "echo first >&2; echo 'lost my library' >&2; exit 7")
    assert _refused(tmp_path, python=str(broken)) == (
        "interpreter",
        (
            f"cannot use {broken}: it is no working Python, it exited with status 7; its last words: first "
            "| lost my library"
        ),
    )
    killed = _program(tmp_path / "python", "kill -KILL $$")
    assert "it was killed by SIGKILL" in _refused(tmp_path, python=str(killed))[1]


def test_an_old_python_is_named(tmp_path: Path) -> None:
    answer = '{"version": [3, 8, 10], "prefix": "/", "executable": "/p", "releve": null, "server": false}'
    old = _program(tmp_path / "python", f"echo 'releve-probe {answer}'")
    assert (
        _refused(tmp_path, python=str(old))[1]
        == f"cannot use {old}: it is Python 3.8, Relève needs 3.11 or later; change python"
    )


def test_an_interpreter_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    hangs = _program(tmp_path / "python", f"sleep 60 & echo $! > {tmp_path}/pid; echo waiting >&2; wait")
    with pytest.raises(ReleaseError, match=r"it did not start within 0\.5s; its last words: waiting"):
        asyncio.run(release.probe(str(hangs), str(tmp_path), os.environ, Identity(), 0.5))
    sleeper = int((tmp_path / "pid").read_text())
    # Its parent is gone, so it is somebody else's to reap: gone or a zombie will do.
    deadline = time.monotonic() + 10
    while _state(sleeper) not in "ZX":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def test_a_cancelled_probe_leaves_nothing(tmp_path: Path) -> None:
    hangs = _program(tmp_path / "python", f"touch {tmp_path}/begun; exec sleep 60")

    async def cancel() -> None:
        task = asyncio.create_task(release.probe(str(hangs), str(tmp_path), os.environ, Identity()))
        async with asyncio.timeout(20):
            while not (tmp_path / "begun").exists():
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


def test_a_noisy_start_and_a_release_with_names_of_the_library_do_not_matter(tmp_path: Path) -> None:
    for name in ("json", "importlib", "os", "releve"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the release was imported')")
    noisy = _program(tmp_path / "bin" / "python", f'echo noise; {sys.executable} "$@"; echo "more noise"')
    assert _pin(tmp_path, python=str(noisy)).python_version == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an interpreter as somebody else")
def test_the_interpreter_is_never_run_as_root_for_a_user(tmp_path: Path) -> None:
    for folder in [tmp_path, *tmp_path.parents][:-2]:
        os.chmod(folder, os.stat(folder).st_mode | 0o755)
    spy = _program(tmp_path / "python", 'id -u >&2; id -G >&2; echo "$HOME $USER" >&2; exit 9')
    _, reason = _refused(tmp_path, user="nobody", python=str(spy))
    groups = subprocess.run(["id", "-G", "nobody"], capture_output=True, text=True, check=True).stdout.strip()
    assert f"its last words: 65534 | {groups} | /nonexistent nobody" in reason


# ---- environment


def test_an_unknown_user_is_a_step_of_its_own(tmp_path: Path) -> None:
    step, reason = _refused(tmp_path, user="no-such-user")
    assert (step, reason) == (
        "environment",
        "cannot run as no-such-user: there is no such user; create it, or change user",
    )


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
    own = make_environment(Settings(), base, "/srv", release.own_python())
    assert own["PYTHONHOME"] == "/h" and own.get("VIRTUAL_ENV") != "/v"


def test_an_environment_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    step, reason = _refused(tmp_path, env_file=f"{tmp_path}/gone")
    assert step == "environment"
    assert f"{tmp_path}/gone" in reason
    (tmp_path / "env").write_text("no assignment\n")
    assert f"{tmp_path}/env:1" in _refused(tmp_path, env_file=f"{tmp_path}/env")[1]


# ---- revision


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    def run(*arguments: str, cwd: Path = tmp_path) -> str:
        identity = [
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            "-c",
            "init.defaultBranch=main",
            "-c",
            "commit.gpgsign=false",
        ]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=cwd, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()

    try:
        run("init")
    except FileNotFoundError:
        pytest.skip("git is not installed")
    return run


def test_the_revision_of_a_work_tree_is_read_without_git(tmp_path: Path, git: Callable[..., str]) -> None:
    assert git_revision(str(tmp_path)) is None  # no commit yet
    git("commit", "--allow-empty", "-m", "one")
    commit = git("rev-parse", "HEAD")
    assert git_revision(str(tmp_path)) == commit
    git("worktree", "add", "linked", "-b", "other")
    git("commit", "--allow-empty", "-m", "two", cwd=tmp_path / "linked")
    assert git_revision(str(tmp_path / "linked")) == git("rev-parse", "other") != commit
    git("pack-refs", "--all")
    assert git_revision(str(tmp_path)) == commit
    assert git_revision(str(tmp_path / "linked")) == git("rev-parse", "other")
    git("checkout", "--detach", "other^0")
    assert git_revision(str(tmp_path)) == git("rev-parse", "HEAD")


def test_a_folder_without_git_and_a_broken_one_have_no_revision(tmp_path: Path) -> None:
    assert git_revision(str(tmp_path)) is None
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(b"ref: refs/heads/gone\n")
    assert git_revision(str(tmp_path)) is None
    (tmp_path / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert git_revision(str(tmp_path)) is None


@pytest.mark.parametrize("ref", ["{outside}", "refs/../../outside", "refs/heads/.hidden", "heads/main"])
def test_a_revision_is_looked_up_nowhere_else(tmp_path: Path, ref: str) -> None:
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "heads").mkdir()
    for file in (
        outside := tmp_path / "outside",
        git / "outside",
        git / "refs" / "heads" / ".hidden",
        git / "heads" / "main",
    ):
        file.write_text("a" * 40)
    (git / "HEAD").write_text(f"ref: {ref.format(outside=outside)}\n")
    assert git_revision(str(tmp_path)) is None


def test_of_a_file_without_end_only_the_beginning_is_read(tmp_path: Path) -> None:
    git = tmp_path / ".git"
    git.mkdir()
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    with open(git / "packed-refs", "wb") as file:
        file.truncate(1 << 40)  # 1 TiB, in one line: read whole, it would be our end
    assert git_revision(str(tmp_path)) is None


def test_no_bytecode_is_written_while_code_is_watched(tmp_path: Path) -> None:
    for watch, value in (("off", None), ("release", None), ("code", "1")):
        settings = Settings(app="app:app", directory=str(tmp_path), watch=watch)
        environment = release.make_environment(settings, {}, str(tmp_path), release.own_python())
        assert environment.get("PYTHONDONTWRITEBYTECODE") == value


# ---- whose programs a release starts


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
