"""The lines of a service on a terminal and as JSON: what they hold does nothing."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from releve.ctl.logs.logs import Manner, show
from releve.ctl.logs.selection import Selection
from releve.instance.protocol import Event, Status


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


def said(path: Path) -> Event:
    return {"status": 0, "log": {"to": "file", "path": str(path)}, "access": {"to": "off"}}


@pytest.mark.parametrize("term", [None, "dumb", "xterm"])
def test_an_escape_sequence_does_not_reach_a_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, term: str | None
) -> None:
    if term is None:
        monkeypatch.delenv("TERM", raising=False)
    else:
        monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    (tmp_path / "log").write_text("\x1b]0;title\x07\n")
    assert show(said(tmp_path / "log"), Selection(lines=5), Manner()) == Status.DONE
    assert terminal.getvalue() == "\\x1b]0;title\\x07\n"


def test_where_none_match_a_worker_may_be_named_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "log").write_text("2026-11-23 21:38:31 INFO gen=8 worker=2 pid=7 ready\n")
    assert show(said(tmp_path / "log"), Selection(worker=9), Manner()) == Status.DONE
    assert capsys.readouterr().err == f"no entries in {tmp_path}/log match; `ctl workers` lists the workers\n"
    show(said(tmp_path / "log"), Selection(level="error"), Manner())
    assert capsys.readouterr().err == f"no entries in {tmp_path}/log match\n"


def test_nor_does_one_in_a_path(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "a\x1bb"
    assert show(said(path), Selection(lines=5), Manner()) == Status.FAILED
    assert show(said(path), Selection(lines=5), Manner(where=True)) == Status.DONE
    written = capsys.readouterr()
    assert "\x1b" not in written.out + written.err
    assert written.err.startswith(f"cannot read the log {tmp_path}/a\\x1bb: ") and "a\\x1bb" in written.out


def test_json_that_is_nested_deep_is_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = [f'{{"message": {"[" * depth}{"]" * depth}}}' for depth in (1, *range(900, 1000), 100_000)]
    (tmp_path / "log").write_text("".join(f"{line}\n" for line in lines))
    assert show(said(tmp_path / "log"), Selection(lines=500), Manner(json=True)) == Status.DONE
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == len(lines) and json.loads(shown[0]) == {"message": []}
    assert json.loads(shown[-1]) == {"message": lines[-1]}


def test_what_is_no_file_is_not_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert show(said(tmp_path), Selection(lines=5), Manner()) == Status.FAILED
    assert "cannot read the log" in capsys.readouterr().err
