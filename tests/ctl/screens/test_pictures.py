"""The pictures of workers, dumps and the doctor: pure, from results, also from those of another release."""

from __future__ import annotations

import io
from types import ModuleType
from typing import Any

import pytest

from harness.results import DOCTOR, DUMP, WORKERS
from releve.ctl.screens import doctor, dump, workers


def plain(module: ModuleType, result: dict[str, Any]) -> str:
    stream = io.StringIO()
    module.show_plain(result, stream)
    return stream.getvalue()


def test_workers_and_below_each_what_it_serves() -> None:
    head, *lines = (line.split() for line in plain(workers, WORKERS).splitlines())
    assert " ".join(head) == (
        "worker pid state age heartbeat busy waiting connections requests 2xx 3xx 4xx 5xx cpu memory"
    )
    assert [" ".join(line) for line in lines] == [
        "8.2 812 serving 3m12s now 1/8 2 3/10,000 1,204 1,200 1 2 1 12% 43 MiB",
        "└ 12s GET /report?\\x1b[2J 10.0.0.7:4711",
        "7.1 701 paused - 31s - - - - - - - - - -",
    ]
    assert plain(workers, {"workers": []}) == "no workers\n"


def test_a_dump_folds_our_frames_and_counts_the_idle() -> None:
    assert plain(dump, DUMP).splitlines() == [
        "8.2 (pid 812): serving",
        "  thread 1: 12s  GET /report?\\x1b[2J  10.0.0.7:4711",
        "    … 2 frames of Relève",
        '    File "/srv/app.py", line 3 in c',
        "  thread 2: event loop, idle",
        "    … 1 frame of Relève",
        '    File "/v/releve/server/loop/loop.py", line 2 in b',
        "  thread 0x6: serves no request",
        '    File "/srv/own.py", line 1 in x',
        "  2 idle threads",
        "",
        "8.master (pid 800): serving",
        "  it is stopped (SIGSTOP)",
    ]


def test_the_doctors_findings_each_with_its_advice() -> None:
    assert plain(doctor, DOCTOR).splitlines() == [
        "problem  proxy  proxy.trusted has 0.0.0.0/0",
        "                do: list the proxies only",
        "ok       clock  the clock is synchronized",
        "2 checks: 1 problem, 0 warnings",
    ]


@pytest.mark.parametrize(("module", "result"), [(workers, WORKERS), (dump, DUMP), (doctor, DOCTOR)])
def test_the_rich_picture_says_the_same(
    module: ModuleType, result: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    stream = io.StringIO()
    module.show_rich(result, stream)
    said = stream.getvalue().split()
    assert [word for word in plain(module, result).split() if word not in said] == []


def test_workers_on_a_narrow_terminal_leave_out_what_is_elsewhere_and_cut_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = io.StringIO()
    workers.show_rich(WORKERS, stream)
    assert [line.rstrip() for line in stream.getvalue().splitlines()] == [
        "worker  pid  state    heartbeat  busy  requests    2xx  3xx  4xx  5xx  cpu",
        "8.2     812  serving        now   1/8     1,204  1,200    1    2    1  12%",
        "  └ 12s  GET /report?\\x1b[2J  10.0.0.7:4711",
        "7.1     701  paused         31s     -         -      -    -    -    -    -",
        "not shown at 80 columns: age, waiting, connections, memory",
    ]


@pytest.mark.parametrize("module", [workers, dump, doctor])
@pytest.mark.parametrize("value", [None, [], [None, 3], [{}], {"a": 1}])
def test_what_another_release_leaves_out_is_left_out(module: ModuleType, value: Any) -> None:
    result = {"status": 0, "message": "m", "workers": value, "processes": value, "findings": value}
    plain(module, result)
    module.show_rich(result, io.StringIO())


OUR = 'File "/v/lib/releve/server/loop/threads.py", line 1 in _work'
THREAD = 'File "/usr/lib/python3.11/threading.py", line 2 in run'
THEIRS = 'File "/srv/shop/server/views.py", line 3 in pay'
READ = 'File "/v/lib/releve/server/wsgi/input.py", line 4 in read'


@pytest.mark.parametrize(
    ("stack", "folded", "shown"),
    [
        ([THREAD, OUR, OUR, THEIRS], 3, [THEIRS]),
        ([THREAD, OUR, THEIRS, READ], 2, [THEIRS, READ]),  # it waits for a body
        ([THREAD, OUR, READ], 2, [READ]),
        ([THREAD, THEIRS], 0, [THREAD, THEIRS]),  # a thread that the application started
        ([OUR, 'File "<frozen importlib._bootstrap>", line 5 in _load', THEIRS], 2, [THEIRS]),
        ([], 0, []),
    ],
)
def test_frames_that_only_lead_to_the_application_are_folded(stack: list[str], folded: int, shown: list[str]) -> None:
    assert dump.fold(stack) == (folded, shown)
