"""``ctl top``: on a terminal, into a pipe, and with a supervisor that goes and comes."""

from __future__ import annotations

import json
import os
import pty
import termios
from collections.abc import Callable
from typing import Any

import pytest

from releve.ctl.top import top
from releve.ctl.top.sample import sample
from releve.ctl.top.top import Away, Manner, ask, watch

Start = Callable[..., Any]
RESULT = {
    "event": "result",
    "status": 0,
    "message": "serving",
    "service": {"state": "serving", "name": "shop"},
    "generations": [{"generation": 8, "active": True, "workers": [{"worker": 1, "pid": 7, "requests": 5}]}],
    "workers": [{"generation": 8, "worker": 1, "pid": 7, "requests": 5, "durations": [0, 5]}],
}


def test_a_sample_asks_for_durations(fake: Start) -> None:
    server = fake({"send": RESULT})
    assert ask(str(server.path)).workers[0]["durations"] == [0, 5]
    assert server.said()["verb"] == "status"
    assert (asked := server.said())["verb"] == "workers" and asked["arguments"] == {"durations": True}


def test_an_older_supervisor_is_asked_without(fake: Start) -> None:
    server = fake({"send": {**RESULT, "status": 2, "message": "cannot workers: unknown argument 'durations'"}})
    ask(str(server.path))
    assert [server.said()["arguments"] for _ in range(3)] == [{}, {"durations": True}, {}]


@pytest.mark.parametrize("answer", [{"event": "result", "status": 1, "message": "permission denied: ann"}, None])
def test_who_says_nothing_is_away(fake: Start, answer: dict[str, Any] | None) -> None:
    server = fake(*([] if answer is None else [{"send": answer}]))
    with pytest.raises(Away, match="permission denied" if answer else "without a result"):
        ask(str(server.path))


def test_lines_into_a_pipe(ctl: Start, fake: Start) -> None:
    server = fake({"send": RESULT})
    ended = ctl("--socket", str(server.path), "top", "--interval", "0.1", "-n", "2")
    head, *lines = ended.stdout.splitlines()
    assert head.split()[:3] == ["time", "state", "gen"] and len(lines) == 2
    assert lines[0].split()[1:4] == ["serving", "8", "0.0"] and ended.returncode == 0
    ended = ctl("--socket", str(server.path), "top", "--interval", "0.1", "-n", "1", "--json")
    assert json.loads(ended.stdout)["generations"][0]["workers"][0]["worker"] == "8.1"


def test_nobody_to_watch(ctl: Start, tmp_path: Any) -> None:
    ended = ctl("--socket", str(tmp_path / "none.sock"), "top")
    assert ended.returncode == 3 and ended.stdout == ""


def test_it_goes_on_when_the_supervisor_comes_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = iter([RESULT, None, RESULT])

    def asked(path: str) -> Any:
        result = next(found)
        if result is None:
            raise Away("no supervisor answers")
        return sample(0.0, result, result)

    monkeypatch.setattr(top, "ask", asked)
    assert watch("x.sock", Manner(0.001, 2, json=False)) == 0
    _, away, back = capsys.readouterr().out.splitlines()
    assert away.endswith("  no supervisor answers") and "serving" in back


def test_the_terminal_is_left_as_it_was(fake: Start, on_terminal: Start) -> None:
    server = fake({"send": RESULT})
    terminal = on_terminal("--socket", str(server.path), "top")
    terminal.read_until("generation 8")
    assert not termios.tcgetattr(terminal.master)[3] & termios.ICANON
    server.end()
    terminal.read_until("and it is asked again")
    terminal.type(b"q")
    terminal.read_until(None)
    assert terminal.process.wait(20) == 0
    assert termios.tcgetattr(terminal.master)[3] & termios.ICANON
    assert terminal.raw.count("\x1b[?1049h") == terminal.raw.count("\x1b[?1049l") == 1
    assert terminal.raw.count("\x1b[?25l") == terminal.raw.count("\x1b[?25h") == 1


@pytest.mark.parametrize("key", [b"q", b"\x1b[AxQ"])
def test_keys_that_quit_give_the_terminal_back(monkeypatch: pytest.MonkeyPatch, key: bytes) -> None:
    master, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    with open(terminal, "rb", buffering=0) as stream:
        monkeypatch.setattr("sys.stdin", stream)
        with top._keys() as pressed:
            os.write(master, key)
            assert pressed(20.0)
        assert termios.tcgetattr(terminal) == before
    os.close(master)
