"""The interpreter of a release, with real ones, links and virtual environments."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from harness.pins import pinned, refused
from releve.config.settings.settings import Settings
from releve.supervisor.host.identity import Identity
from releve.supervisor.release.errors import ReleaseError
from releve.supervisor.release.interpreter import choose_python, own_python, probe
from releve.supervisor.release.release import resolve_directory, without_preload


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_supervisors_own_interpreter_is_the_last_choice(tmp_path: Path) -> None:
    found = pinned(tmp_path)
    assert found.python == own_python()
    assert (found.python_version, found.prefix) == (".".join(map(str, sys.version_info[:3])), sys.prefix)
    assert found.binary == os.path.realpath(sys.executable)
    assert not found.lend
    assert found.releve is not None
    assert without_preload(found).preload is False


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
        found = pinned(tmp_path / "current", python=python)
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
    resolved = resolve_directory(settings.directory)
    os.unlink(tmp_path / "current")
    (tmp_path / "current").symlink_to("2")  # moves while the release is pinned
    assert choose_python(settings, resolved) == f"{tmp_path}/1/python"


def test_a_broken_virtual_environment_is_never_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to("/usr/bin/python3.0-gone")
    step, reason = refused(tmp_path)
    assert step == "interpreter"
    assert f"{tmp_path}/.venv/bin/python: it is a link to /usr/bin/python3.0-gone, which does not exist" in reason


def test_an_interpreter_that_is_gone_or_no_program(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refused(tmp_path, python=f"{tmp_path}/gone")[1].startswith(
        f"cannot use {tmp_path}/gone: it does not exist; "
    )
    assert "not a program" in refused(tmp_path, python=f"{tmp_path}/file")[1]
    assert "not a program" in refused(tmp_path, python=str(tmp_path))[1]
    (tmp_path / "file").chmod(0o755)
    (tmp_path / "file").write_bytes(b"\x7fELF garbage")
    step, reason = refused(tmp_path, python=f"{tmp_path}/file")
    assert step == "interpreter"
    assert reason.startswith(f"cannot run {tmp_path}/file: exec format error")


def test_a_program_that_is_no_python_shows_its_last_words(tmp_path: Path) -> None:
    broken = _program(tmp_path / "python", "echo first >&2; echo 'lost my library' >&2; exit 7")
    assert refused(tmp_path, python=str(broken)) == (
        "interpreter",
        (
            f"cannot use {broken}: it is not a working Python: it exited with status 7; its last output: first "
            "| lost my library"
        ),
    )
    killed = _program(tmp_path / "python", "kill -KILL $$")
    assert "it was killed by SIGKILL" in refused(tmp_path, python=str(killed))[1]


def test_an_old_python_is_named(tmp_path: Path) -> None:
    answer = '{"version": [3, 8, 10], "prefix": "/", "executable": "/p", "releve": null, "server": false}'
    old = _program(tmp_path / "python", f"echo 'releve-probe {answer}'")
    assert (
        refused(tmp_path, python=str(old))[1]
        == f"cannot use {old}: it is Python 3.8, Relève needs 3.11 or later; change python"
    )


def test_an_interpreter_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    hangs = _program(tmp_path / "python", f"sleep 60 & echo $! > {tmp_path}/pid; echo waiting >&2; wait")
    with pytest.raises(ReleaseError, match=r"it did not start within 0\.5 s; its last output: waiting"):
        asyncio.run(probe(str(hangs), str(tmp_path), os.environ, Identity(), 0.5))
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
        task = asyncio.create_task(probe(str(hangs), str(tmp_path), os.environ, Identity()))
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
    assert pinned(tmp_path, python=str(noisy)).python_version == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an interpreter as somebody else")
def test_the_interpreter_is_never_run_as_root_for_a_user(tmp_path: Path) -> None:
    for folder in [tmp_path, *tmp_path.parents][:-2]:
        os.chmod(folder, os.stat(folder).st_mode | 0o755)
    spy = _program(tmp_path / "python", 'id -u >&2; id -G >&2; echo "$HOME $USER" >&2; exit 9')
    _, reason = refused(tmp_path, user="nobody", python=str(spy))
    groups = subprocess.run(["id", "-G", "nobody"], capture_output=True, text=True, check=True).stdout.strip()
    assert f"its last output: 65534 | {groups} | /nonexistent nobody" in reason
