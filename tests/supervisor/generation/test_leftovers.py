"""What a generation leaves behind: who holds a listener of it is found and ended, and who holds none is left alone."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from releve.supervisor.generation import leftovers as module
from releve.supervisor.generation.leftovers import Left, Leftovers, find, strays

SLEEPS = [sys.executable, "-S", "-c", "import time; time.sleep(300)"]


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def holder(sock: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    """A child of ours in a session of its own, as one that a library has forked, with the listener."""
    with subprocess.Popen(SLEEPS, pass_fds=[sock.fileno()], start_new_session=True) as child:
        yield child
        child.kill()


def listener(sock: socket.socket) -> Any:
    return SimpleNamespace(socket=sock, name="127.0.0.1:80")


def left(sock: socket.socket, number: int = 1, **more: Any) -> Left:
    inodes = {os.fstat(sock.fileno()).st_ino: "127.0.0.1:80"}
    return Left(**{"number": number, "directory": "/srv", "master": 1, "uid": os.getuid(), "listeners": inodes, **more})


def test_who_holds_a_listener_is_found(sock: socket.socket, holder: subprocess.Popen[bytes]) -> None:
    [found] = find(left(sock))
    assert (found.pid, found.listener) == (holder.pid, "127.0.0.1:80")
    os.close(found.pidfd)


@pytest.mark.parametrize("more", [{"uid": 12345}, {"listeners": {}}, {"listeners": {7: "another"}}])
def test_nobody_else_is(sock: socket.socket, holder: subprocess.Popen[bytes], more: dict[str, Any]) -> None:
    assert find(left(sock, **more)) == []


def test_those_of_a_generation_that_lives_are_spared(sock: socket.socket) -> None:
    """By what their environment names, for as long as that lives."""
    ended: list[int] = []
    living = Leftovers(9, "/srv", os.getuid(), lambda: ended.append(9))
    environment = {"RELEVE_GENERATION": "9"}
    with subprocess.Popen(SLEEPS, pass_fds=[sock.fileno()], start_new_session=True, env=environment) as child:
        assert find(left(sock, 8)) == []
        living.end(1)
        assert ended == [9]
        found = find(left(sock, 8))
        assert [one.pid for one in found] == [child.pid]
        child.kill()
    for one in found:
        os.close(one.pidfd)


def test_they_are_ended_and_then_it_is_over(sock: socket.socket, holder: subprocess.Popen[bytes]) -> None:
    async def story() -> None:
        over = asyncio.Event()
        one = Leftovers(1, "/srv", os.getuid(), over.set)
        one.note([listener(sock)])
        one.end(1)
        assert not over.is_set()
        async with asyncio.timeout(20):
            await over.wait()
        assert holder.wait(20) == -15

    asyncio.run(story())


def test_where_nothing_is_left_it_is_over_at_once(sock: socket.socket) -> None:
    over: list[bool] = []
    one = Leftovers(1, "/srv", os.getuid(), lambda: over.append(True))
    one.note([listener(sock), listener(socket.socket(fileno=socket.socket().detach()))])
    one.end(1)
    assert over == [True]


def test_what_lives_in_the_masters_group_is_named(caplog: pytest.LogCaptureFixture) -> None:
    script = "import subprocess, sys; print(subprocess.Popen(['sleep', '300']).pid, flush=True); sys.stdin.read()"
    master = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert master.stdout is not None
        stray = int(master.stdout.readline())
        assert strays(master.pid, None, {master.pid, stray}) == []
        one = Leftovers(7, "/srv", 0, lambda: None)
        one.name_strays(1, [])
        assert caplog.text == ""
        one.name_strays(master.pid, [])
        assert f"ending 1 process that the application of generation 7 started: pid {stray} (sleep)" in caplog.text
        one.end(1)
    finally:
        os.killpg(master.pid, 9)
        master.communicate(timeout=20)


def test_of_many_strays_some_are_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "strays", lambda *arguments: [f"pid {number} (x)" for number in range(2, 20)])
    one = Leftovers(7, "/srv", 0, lambda: None)
    one.name_strays(1000, [])
    assert "ending 18 processes" in caplog.text and caplog.text.count("(x)") == 10 and ", …;" in caplog.text
    one.end(1)
