"""Watching real files and links. A change is awaited; that nothing comes is shown by the change after it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from releve.supervisor.verbs import file_watcher as watch
from releve.supervisor.verbs.file_watcher import Watcher, WatchError, is_code, links_on, syntax_errors

Next = Callable[[], Awaitable[list[str]]]


def _watching(
    mode: str, directory: Path, body: Callable[[Next], Awaitable[None]], files: list[str] | None = None
) -> None:
    """Run ``body`` beside a watcher; it gets the next change from what it is given."""

    async def run() -> None:
        changes: asyncio.Queue[list[str]] = asyncio.Queue()
        watcher = Watcher(mode, str(directory), asyncio.get_running_loop(), changes.put_nowait, files or [])
        watcher.start()
        try:
            await body(lambda: asyncio.wait_for(changes.get(), 15))
            assert changes.empty()
        finally:
            watcher.stop()

    before = set(threading.enumerate())  # of other tests, which may end meanwhile
    asyncio.run(run())
    assert set(threading.enumerate()) <= before


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    for number in "12":
        (tmp_path / "releases" / number / "pkg").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/1")
    return tmp_path


def _flip(root: Path, number: str) -> None:
    (root / "new").symlink_to(f"releases/{number}")
    os.rename(root / "new", root / "current")


def test_code_tells_saved_moved_new_and_removed_files(releases: Path) -> None:
    root = releases / "releases" / "1"
    (root / "old.py").write_text("")

    async def body(following: Next) -> None:
        (root / "app.py").write_text("x = 1")
        assert await following() == [f"{root}/app.py"]
        (root / "pkg" / "a.py~").write_text("x = 1")
        os.rename(root / "pkg" / "a.py~", root / "pkg" / "a.py")  # as most editors save
        assert await following() == [f"{root}/pkg/a.py"]
        (root / "fresh" / "deep").mkdir(parents=True)
        (root / "fresh" / "deep" / "b.py").write_text("")
        assert await following() == [f"{root}/fresh/deep/b.py"]
        os.unlink(root / "old.py")
        assert await following() == [f"{root}/old.py"]

    _watching("code", releases / "current", body)


def test_many_saves_at_once_are_one_change(releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "QUIET_S", 1.0)
    root = releases / "releases" / "1"

    async def body(following: Next) -> None:
        for number in range(20):
            (root / f"m{number:02}.py").write_text("")
        assert await following() == [f"{root}/m{number:02}.py" for number in range(20)]

    _watching("code", releases / "current", body)


def test_saves_without_a_pause_are_told_all_the_same(releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "QUIET_S", 60.0)
    monkeypatch.setattr(watch, "PATIENCE_S", 0.2)

    async def body(following: Next) -> None:
        (releases / "releases" / "1" / "a.py").write_text("")
        assert await following()

    _watching("code", releases / "current", body)


def test_reading_and_files_of_no_interest_are_no_change(releases: Path) -> None:
    root = releases / "releases" / "1"
    (root / "app.py").write_text("x = 1")
    for folder in ("__pycache__", ".git", "node_modules", "env"):
        (root / folder).mkdir()
    (root / "env" / "pyvenv.cfg").write_text("")

    async def body(following: Next) -> None:
        (root / "app.py").read_text()
        for name in (
            "__pycache__/a.py",
            ".git/a.py",
            "node_modules/a.py",
            "env/a.py",
            "a.txt",
            ".#app.py",
            "pkg/data.sqlite3",
        ):
            (root / name).write_text("")
        (root / "last.py").write_text("")
        assert await following() == [f"{root}/last.py"]

    _watching("code", releases / "current", body)


def test_the_configuration_file_counts_wherever_it_is(releases: Path) -> None:
    config = releases / "releve.yaml"
    inside = releases / "releases" / "1" / "releve.yaml"
    for file in (config, inside):
        file.write_text("")

    async def body(following: Next) -> None:
        (releases / "other.yaml").write_text("")
        config.write_text("workers: 3")
        assert await following() == [str(config)]
        inside.write_text("workers: 3")
        assert await following() == [str(inside)]

    _watching("code", releases / "current", body, [str(config), str(inside)])


def test_code_follows_a_link_that_is_flipped(releases: Path) -> None:
    async def body(following: Next) -> None:
        _flip(releases, "2")
        assert await following() == [str(releases / "current")]
        (releases / "releases" / "1" / "a.py").write_text("")
        (releases / "releases" / "2" / "a.py").write_text("")
        assert await following() == [f"{releases}/releases/2/a.py"]

    _watching("code", releases / "current", body)


def test_release_tells_a_flip_and_only_a_flip(releases: Path) -> None:
    async def body(following: Next) -> None:
        (releases / "releases" / "1" / "a.py").write_text("")
        _flip(releases, "1")  # made anew, leads where it led
        await asyncio.sleep(2 * watch.QUIET_S)
        _flip(releases, "2")
        assert await following() == [f"{releases}/releases/2"]
        _flip(releases, "1")
        assert await following() == [f"{releases}/releases/1"]

    _watching("release", releases / "current", body)


def test_release_waits_while_the_link_leads_nowhere(releases: Path) -> None:
    async def body(following: Next) -> None:
        os.unlink(releases / "current")
        await asyncio.sleep(2 * watch.QUIET_S)
        (releases / "current").symlink_to("releases/3")
        await asyncio.sleep(2 * watch.QUIET_S)
        (releases / "releases" / "2").rename(releases / "releases" / "3")
        _flip(releases, "3")
        assert await following() == [f"{releases}/releases/3"]

    _watching("release", releases / "current", body)


def test_release_sees_every_link_of_a_chain_also_after_a_flip(releases: Path) -> None:
    (releases / "live").symlink_to(releases / "current")
    (releases / "far").mkdir()
    (releases / "far" / "stage").symlink_to(releases / "releases" / "1")

    async def body(following: Next) -> None:
        _flip(releases, "2")  # the second link of the chain
        assert await following() == [f"{releases}/releases/2"]
        (releases / "new").symlink_to("far/stage")
        os.rename(releases / "new", releases / "live")
        assert await following() == [f"{releases}/releases/1"]
        (releases / "new").symlink_to("../releases/2")
        os.rename(releases / "new", releases / "far" / "stage")  # a folder that was not on the way before
        assert await following() == [f"{releases}/releases/2"]

    _watching("release", releases / "live", body)


def test_release_of_a_plain_folder_sees_it_replaced(releases: Path) -> None:
    async def body(following: Next) -> None:
        os.rename(releases / "releases" / "1", releases / "releases" / "0")
        os.rename(releases / "releases" / "2", releases / "releases" / "1")
        assert await following() == [f"{releases}/releases/1"]

    _watching("release", releases / "releases" / "1", body)


def test_after_a_stop_nothing_comes(releases: Path) -> None:
    async def run() -> None:
        told: list[list[str]] = []
        watcher = Watcher("code", str(releases), asyncio.get_running_loop(), told.append)
        watcher.start()
        (releases / "a.py").write_text("")
        watcher.stop()
        watcher.stop()
        await asyncio.sleep(2 * watch.QUIET_S)
        assert told == []

    asyncio.run(run())


def test_a_folder_that_is_not_there_is_refused_and_leaves_no_thread(tmp_path: Path) -> None:
    async def run() -> None:
        watcher = Watcher("code", str(tmp_path / "none" / "x"), asyncio.get_running_loop(), lambda changed: None)
        with pytest.raises(
            WatchError, match="cannot watch .*none/x: no such file or directory; the service keeps running unwatched"
        ):
            watcher.start()

    before = set(threading.enumerate())  # of other tests, which may end meanwhile
    asyncio.run(run())
    assert set(threading.enumerate()) <= before


def test_the_names_that_decide_where_a_path_leads(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "x").symlink_to("a/../y")
    (tmp_path / "y").symlink_to(tmp_path / "a")
    (tmp_path / "loop").symlink_to("loop")
    assert links_on(f"{tmp_path}/x/b") == [f"{tmp_path}/x", f"{tmp_path}/y"]
    assert links_on(f"{tmp_path}/a/b") == [f"{tmp_path}/a/b"]
    assert set(links_on(f"{tmp_path}/loop")) == {f"{tmp_path}/loop"}


def test_what_is_code(tmp_path: Path) -> None:
    assert is_code("/srv/x/a.py", "/srv/x")
    assert not is_code("/srv/xy/a.py", "/srv/x")
    assert not is_code("/srv/x/lib/site-packages/a.py", "/srv/x")
    assert not is_code("/srv/x/.hidden.py", "/srv/x")
    assert is_code("/home/.me/x/a.py", "/home/.me/x")  # what is above the directory does not matter


def test_syntax_errors_say_where_and_what(tmp_path: Path) -> None:
    files = {
        "good.py": b"x = 1\n",
        "bad.py": b"ok = 1\nx = = 2\n",
        "nul.py": b"x = '\0'\n",
        "latin.py": b"x = '\xff'\n",
        "note.txt": b"x = = 2",
    }
    for name, text in files.items():
        (tmp_path / name).write_bytes(text)
    found = syntax_errors([*(str(tmp_path / name) for name in files), str(tmp_path / "gone.py")])
    assert found[0] == f"{tmp_path}/bad.py:2: invalid syntax: x = = 2"
    assert [text.split(":")[0] for text in found] == [f"{tmp_path}/{name}" for name in ("bad.py", "nul.py", "latin.py")]
