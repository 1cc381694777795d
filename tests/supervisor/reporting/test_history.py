"""The history: what is written, what survives, and what a full disk may cost."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from releve.supervisor.reporting import history as module
from releve.supervisor.reporting.history import History, HistoryError


def _lines(directory: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (directory / "history.jsonl").read_text().splitlines()]


def test_an_attempt_is_on_disk_when_it_begins_and_merged_when_it_has_ended(tmp_path: Path) -> None:
    history = History(tmp_path)
    number = history.begin({"verb": "upgrade", "by": "root"})
    assert [line["event"] for line in _lines(tmp_path)] == ["begin"]
    assert history.entries()[0]["outcome"] is None
    history.finish(number, "committed", generation=8)
    (attempt,) = History(tmp_path).entries()
    assert attempt["id"] == number == 1
    assert (attempt["verb"], attempt["by"], attempt["outcome"], attempt["generation"]) == (
        "upgrade",
        "root",
        "committed",
        8,
    )
    assert attempt["seconds"] >= 0
    assert attempt["began"] <= attempt["ended"]


def test_numbers_go_on_after_a_restart_and_entries_are_newest_last(tmp_path: Path) -> None:
    for outcome in ("failed", "committed", "rolled back"):
        history = History(tmp_path)
        history.finish(history.begin({"verb": "upgrade"}), outcome)
    assert [(attempt["id"], attempt["outcome"]) for attempt in history.entries()] == [
        (1, "failed"),
        (2, "committed"),
        (3, "rolled back"),
    ]
    assert [attempt["id"] for attempt in history.entries(2)] == [2, 3]
    assert history.entries(0) == []


def test_an_attempt_cut_short_by_a_kill_gets_its_outcome_at_the_next_start(tmp_path: Path) -> None:
    script = (
        "import os, sys; from releve.supervisor.reporting.history import History; "
        "History(sys.argv[1]).begin({'verb': 'upgrade'}); os.abort()"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=20).returncode == -signal.SIGABRT
    assert [attempt["outcome"] for attempt in History(tmp_path).entries()] == ["interrupted"]
    assert [line.get("outcome") for line in _lines(tmp_path)] == [None, "interrupted"]
    assert len(History(tmp_path).entries()) == 1
    assert len(_lines(tmp_path)) == 2  # once is enough


def test_an_outcome_is_final(tmp_path: Path) -> None:
    history = History(tmp_path)
    number = history.begin({"verb": "upgrade"})
    history.finish(number, "committed")
    history.finish(number, "failed")
    history.finish(99, "failed")
    assert [attempt["outcome"] for attempt in history.entries()] == ["committed"]
    assert len(_lines(tmp_path)) == 2


def test_garbage_and_a_torn_last_line_are_skipped(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.finish(history.begin({"verb": "upgrade"}), "committed")
    junk = (
        b'\xff\xfe\n[1]\n"x"\n{"event":"end","id":77,"outcome":"x"}\n{"id":true,"event":"begin"}\n'
        + b"[" * 100_000
        + b'\n\n{"event":"begin","id":2,"ve'
    )
    with open(tmp_path / "history.jsonl", "ab") as file:
        file.write(junk)
    history = History(tmp_path)
    assert len(history.entries()) == 1
    assert history.begin({"verb": "reload"}) == 2
    assert [attempt.get("verb") for attempt in History(tmp_path).entries()] == ["upgrade", "reload"]


def test_a_full_disk_refuses_an_upgrade_and_nothing_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").symlink_to("/dev/full")
    history = History(tmp_path)
    with pytest.raises(HistoryError, match=r"cannot record the upgrade: no space left on device; nothing was changed"):
        history.begin({"verb": "upgrade"})
    assert history.entries() == []
    assert history.pending == 0
    assert history.trouble == "no space left on device"


@contextmanager
def _disk_ends_at(size: int) -> Iterator[None]:
    """A file may not grow beyond ``size`` bytes: the kernel takes a line in part, then fails, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_rescue_goes_on_without_the_disk_and_is_written_later(tmp_path: Path) -> None:
    history = History(tmp_path)
    upgrade = history.begin({"verb": "upgrade"})
    size = (tmp_path / "history.jsonl").stat().st_size
    with _disk_ends_at(size + 10):
        rollback = history.begin({"verb": "rollback"}, rescue=True)
        history.finish(rollback, "rolled back")
        history.finish(upgrade, "failed")
        assert (tmp_path / "history.jsonl").stat().st_size == size  # the part that fitted is cut off again
        assert history.pending == 3
        with pytest.raises(HistoryError):
            history.begin({"verb": "upgrade"})
        assert history.pending == 3
    assert [attempt["outcome"] for attempt in history.entries()] == ["failed", "rolled back"]
    assert history.flush()
    assert (history.pending, history.trouble) == (0, None)
    assert [(a["verb"], a["outcome"]) for a in History(tmp_path).entries()] == [
        ("upgrade", "failed"),
        ("rollback", "rolled back"),
    ]


def test_a_state_directory_that_cannot_be_made_is_told_when_it_matters(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history = History(tmp_path / "file" / "state")
    assert history.trouble
    with pytest.raises(HistoryError, match="cannot record the reload"):
        history.begin({"verb": "reload"})
    history.finish(history.begin({"verb": "stop"}, rescue=True), "done")
    assert history.pending == 2


def test_crashes_are_kept_with_the_attempt_that_brought_their_generation(tmp_path: Path) -> None:
    """The last ones, and how many; the file does not grow with each."""
    history = History(tmp_path)
    history.finish(history.begin({"verb": "start", "from": None}), "done", to={"generation": 1})
    history.finish(history.begin({"verb": "upgrade", "from": {"generation": 1}}), "rolled back", to={"generation": 1})
    for number in range(1000):
        history.crashed(1, {"what": str(number)})
    history.crashed(7, {"what": "nobody's"})
    for one in (history, History(tmp_path)):
        first, second = one.entries()
        assert first["crashed"] == 512 and [crash["what"] for crash in first["crashes"]] == [
            "31",
            "63",
            "127",
            "255",
            "511",
        ]
        assert "crashed" not in second
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) < 25


def test_generations_of_an_earlier_life_had_the_same_numbers(tmp_path: Path) -> None:
    """A crash is of the attempt that brings its generation now, whatever has brought one of that number before the last
    stop.
    """
    history = History(tmp_path)
    for outcome in ("done", None):
        number = history.begin({"verb": "start", "from": None})
        if outcome is not None:
            history.finish(number, outcome, to={"generation": 1})
    history.crashed(1, {"what": "booting"})
    assert [entry.get("crashed") for entry in history.entries()] == [None, 1]


def test_who_only_adopts_a_generation_has_not_brought_it(tmp_path: Path) -> None:
    """But where an upgrade was cut short after its switch, it has settled that."""
    history = History(tmp_path)
    history.finish(history.begin({"verb": "start", "from": None}), "done", to={"generation": 1})
    history.begin({"verb": "upgrade", "from": {"generation": 1}})
    for _ in range(2):
        history = History(tmp_path)
        history.finish(history.begin({"verb": "adopt", "from": None}), "done", to={"generation": 2})
    for generation in (1, 2):
        history.crashed(generation, {"what": str(generation)})
    assert [entry.get("crashed") for entry in history.entries()] == [1, None, 1, None]
    assert history.crashes(2) == [{"what": "2"}] and history.crashes(3) == []


def test_crashes_that_cannot_be_understood_are_passed_over(tmp_path: Path) -> None:
    begun = {"event": "begin", "id": 1, "verb": "start", "from": None, "crashes": 5, "crashed": "many"}
    lines = (
        begun,
        {"event": "end", "id": 1, "outcome": "done", "to": {"generation": 1}},
        {"event": "crash", "id": 1, "crashed": -4},
    )
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    history = History(tmp_path)
    history.crashed(1, {"what": "a crash"})
    (entry,) = history.entries()
    assert entry["crashed"] == 1 and entry["crashes"][-1] == {"what": "a crash"}


def test_no_number_is_given_out_twice_while_the_disk_takes_no_line(tmp_path: Path) -> None:
    """Neither in one process, nor by the program that follows in it, whose own attempt is not on the disk."""
    (tmp_path / "history.jsonl").mkdir()
    history = History(tmp_path)
    with pytest.raises(HistoryError):
        history.begin({"verb": "upgrade"}, number=history.reserve())
    number = history.begin({"verb": "reexec"}, rescue=True)
    assert number == 2
    assert History(tmp_path, going_on=(number, 0.0)).reserve() == 3


def test_a_sync_that_fails_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(tmp_path)

    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(HistoryError, match="input/output error"):
        history.begin({"verb": "upgrade"})
    assert (tmp_path / "history.jsonl").read_bytes() == b""
    # waits for no disk; the number of what was refused is in the log
    assert history.begin({"verb": "rollback"}, rescue=True) == 2


def test_the_file_stays_bounded_and_keeps_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 5)
    monkeypatch.setattr(module, "SLACK", 2)
    history = History(tmp_path)
    for turn in range(30):
        number = history.begin({"verb": "upgrade", "turn": turn})
        history.finish(number, "committed", note=f"n{turn}")
    assert len(_lines(tmp_path)) <= 2 * 8
    again = History(tmp_path).entries()
    assert 5 <= len(again) <= 7
    assert [attempt["turn"] for attempt in again] == list(range(30 - len(again), 30))
    assert [attempt["note"] for attempt in again] == [f"n{turn}" for turn in range(30 - len(again), 30)]
    assert all(attempt["outcome"] == "committed" and attempt["id"] == attempt["turn"] + 1 for attempt in again)
    assert sorted(os.listdir(tmp_path)) == ["history.jsonl"]


def test_a_rewrite_that_fails_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    monkeypatch.setattr(module, "SLACK", 1)
    history = History(tmp_path)
    (tmp_path / "history.jsonl.new").mkdir()
    for _ in range(6):
        history.finish(history.begin({"verb": "upgrade"}), "committed")
    (tmp_path / "history.jsonl.new").rmdir()
    again = History(tmp_path)
    assert again.entries()[-1]["id"] == 6
    assert all(attempt["outcome"] == "committed" for attempt in again.entries())


def test_what_json_does_not_know_is_written_as_text(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.begin({"verb": "upgrade", "directory": Path("/srv/x")})
    assert History(tmp_path).entries()[0]["directory"] == "/srv/x"
