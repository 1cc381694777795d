"""``ctl`` against a scripted supervisor: each verb, each outcome, and whatever else may answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from releve.ctl.verbs import VERBS
from releve.instance.protocol import LINE_MAX_BYTES, MEANING, VERSION, Status
from releve.supervisor.verbs.verbs import VERBS as SUPERVISOR

Ctl = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Any]


def result(status: int, message: str, **more: Any) -> dict[str, Any]:
    return {"send": {"event": "result", "status": status, "message": message, **more}}


def phase(name: str, state: str, **more: Any) -> dict[str, Any]:
    return {"send": {"event": "phase", "phase": name, "state": state, **more}}


REQUESTS: list[tuple[list[str], str, dict[str, Any]]] = [
    (["status"], "status", {}),
    (["upgrade"], "upgrade", {"wait": True}),
    (["upgrade", "--no-wait"], "upgrade", {"wait": False}),
    (
        ["upgrade", "--directory", "/srv/42", "--python", "/opt/p/bin/python"],
        "upgrade",
        {"directory": "/srv/42", "python": "/opt/p/bin/python", "wait": True},
    ),
    (["upgrade", "--python", "auto"], "upgrade", {"python": "auto", "wait": True}),
    (["reload"], "reload", {"wait": True}),
    (["rollback", "--no-wait"], "rollback", {"wait": False}),
    (["stop", "--no-wait"], "stop", {"now": False, "wait": False}),
    (["stop", "--now", "--no-wait"], "stop", {"now": True, "wait": False}),
    (["scale", "5"], "scale", {"workers": 5, "wait": True}),
    (["scale", "+1"], "scale", {"workers": "+1", "wait": True}),
    (["scale", "-1"], "scale", {"workers": "-1", "wait": True}),
    (["scale", "--reset"], "scale", {"reset": True, "wait": True}),
    (["abort"], "abort", {}),
    (["history"], "history", {"limit": 20}),
    (["history", "-n", "3"], "history", {"limit": 3}),
    (["history", "--since", "2h", "-n", "3"], "history", {"limit": 20}),
    (["history", "12"], "history", {"attempt": 12}),
    (["check"], "check", {}),
    (["reopen"], "reopen", {}),
    (["workers"], "workers", {}),
    (["restart", "8.2"], "restart", {"worker": "8.2", "wait": True}),
    (["restart", "--all", "--no-wait"], "restart", {"all": True, "wait": False}),
    (["config"], "config", {}),
    (["dump", "8.2"], "dump", {"process": "8.2"}),
    (["dump", "--all"], "dump", {"all": True}),
    (["drain"], "drain", {}),
    (["undrain"], "undrain", {}),
    (["doctor"], "doctor", {}),
]


@pytest.mark.parametrize(("arguments", "verb", "sent"), REQUESTS, ids=[" ".join(row[0]) for row in REQUESTS])
def test_request(ctl: Ctl, fake: Start, arguments: list[str], verb: str, sent: dict[str, Any]) -> None:
    server = fake(result(0, "fine"))
    ended = ctl("--socket", str(server.path), *arguments)
    assert server.said() == {"version": VERSION, "verb": verb, "arguments": sent}
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "fine\n", "")


def test_each_command_has_its_row_and_says_what_the_supervisor_takes() -> None:
    from releve.ctl.main import ctl as group

    assert set(group.commands) == {*VERBS, "top"}, "top asks status and workers"
    for _, verb, sent in REQUESTS:
        assert sent.keys() <= SUPERVISOR[verb].takes.may.keys()


def test_relative_paths_are_made_absolute_without_following_links(ctl: Ctl, fake: Start, tmp_path: Path) -> None:
    (tmp_path / "releases" / "41").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/41")
    server = fake(result(0, "fine"))
    ctl("--socket", "ctl.sock", "upgrade", "--directory", "current")
    assert server.said()["arguments"]["directory"] == str(tmp_path / "current")


@pytest.mark.parametrize("status", list(Status))
def test_the_exit_status_is_the_outcome(ctl: Ctl, fake: Start, status: Status) -> None:
    server = fake(result(status, "so it ended"))
    ended = ctl("--socket", str(server.path), "upgrade")
    assert ended.returncode == status
    good, bad = (
        (ended.stdout, ended.stderr) if status in (Status.DONE, Status.DEGRADED) else (ended.stderr, ended.stdout)
    )
    assert good.startswith("so it ended\n") and bad == ""
    as_json = ctl("--socket", str(server.path), "upgrade", "--json")
    assert as_json.returncode == status and as_json.stderr == ""
    assert json.loads(as_json.stdout) == {"status": status, "message": "so it ended"}


@pytest.mark.parametrize("verb", ["upgrade", "reload", "rollback"])
def test_a_failure_says_step_reason_traceback_what_serves_and_what_next(ctl: Ctl, fake: Start, verb: str) -> None:
    server = fake(
        phase("preflight", "done", seconds=0.1),
        phase("boot", "begin"),
        phase("boot", "failed", seconds=0.4),
        result(
            4,
            "cannot import shop: ModuleNotFoundError: No module named 'x'",
            step="import",
            reason="cannot import shop: ModuleNotFoundError: No module named 'x'",
            traceback="\n".join(
                [
                    "Traceback (most recent call last):",
                    *(f"  line {n}" for n in range(40)),
                    "ModuleNotFoundError: No module named 'x'",
                ]
            ),
            serving="generation 7 is serving /srv/41 with 2 workers",
            next="mend it and upgrade again",
        ),
    )
    ended = ctl("--socket", str(server.path), verb)
    assert ended.returncode == Status.FAILED and ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert lines[:4] == [
        "preflight done (0.1s)",
        "boot failed (0.4s)",
        "cannot import shop: ModuleNotFoundError: No module named 'x'",
        "  step  import",
    ]
    assert (
        "    ModuleNotFoundError: No module named 'x'" in lines
        and "      line 39" in lines
        and "      line 3" not in lines
    )
    assert lines[-2:] == [
        "  serving  generation 7 is serving /srv/41 with 2 workers",
        "  next     mend it and upgrade again",
    ]


def test_progress_is_one_line_a_phase_with_its_last_words(ctl: Ctl, fake: Start) -> None:
    server = fake(
        phase("boot", "begin"),
        phase("boot", "doing", text="1 of 2 workers ready"),
        phase("boot", "doing", text="2 workers ready"),
        {"send": {"event": "note", "text": "not preloaded: the import left a thread", "level": "warning"}},
        {"send": {"event": "something new", "text": "that this release does not know"}},
        phase("boot", "done", seconds=1.25),
        phase("switch", "done"),
        result(0, "generation 8 serves /srv/42"),
    )
    ended = ctl("--socket", str(server.path), "upgrade")
    assert ended.stdout == "generation 8 serves /srv/42\n"
    assert ended.stderr.splitlines() == [
        "warning: not preloaded: the import left a thread",
        "boot done (1.2s): 2 workers ready",
        "switch done",
    ]


def test_busy_names_the_operation_under_way(ctl: Ctl, fake: Start) -> None:
    server = fake(
        result(
            7,
            "cannot upgrade: upgrade 17 by root is under way (boot, 3.0s)",
            next="wait for it (ctl status), or abort it (ctl abort)",
        )
    )
    ended = ctl("--socket", str(server.path), "upgrade")
    assert ended.returncode == Status.BUSY
    assert ended.stderr.splitlines() == [
        "cannot upgrade: upgrade 17 by root is under way (boot, 3.0s)",
        "  next  wait for it (ctl status), or abort it (ctl abort)",
    ]


def test_an_empty_next_is_not_made_up(ctl: Ctl, fake: Start) -> None:
    server = fake(result(4, "upgrade 3 interrupted: aborted by root", serving="generation 7 serves", next=""))
    assert ctl("--socket", str(server.path), "upgrade").stderr.splitlines() == [
        "upgrade 3 interrupted: aborted by root",
        "  serving  generation 7 serves",
    ]


def test_what_was_ignored_is_named(ctl: Ctl, fake: Start) -> None:
    server = fake(result(0, "done", ignored_keys=["limits.head"], needs_upgrade=["app", "env"]))
    assert ctl("--socket", str(server.path), "reload").stdout.splitlines() == [
        "done",
        "  ignored           limits.head",
        "  needs an upgrade  app, env",
    ]


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([], "closed the connection without a result"),
        ([phase("boot", "begin")], "closed the connection without a result"),
        ([{"raw": '{"event": "result", "status": 0'}], "closed the connection without a result"),
        ([{"raw": "HTTP/1.1 400 Bad Request\r\n\r\n"}], "not one of a supervisor"),
        ([{"raw": "[1, 2]\n"}], "not one of a supervisor"),
        ([{"raw": "\xff\xfe\n"}], "not one of a supervisor"),
        ([{"raw": "x" * 100_000}] * (LINE_MAX_BYTES // 100_000 + 2), "not one of a supervisor"),
        ([{"raw": '{"event": "result"}\n'}], "no exit status"),
        ([{"raw": '{"event": "result", "status": "0"}\n'}], "no exit status"),
        ([{"raw": '{"event": "result", "status": true}\n'}], "no exit status"),
        ([{"raw": '{"event": "result", "status": 256}\n'}], "no exit status"),
    ],
)
def test_no_outcome_is_an_unexpected_error_that_says_what_to_do(
    ctl: Ctl, tmp_path: Path, fake: Start, steps: list[dict[str, Any]], why: str
) -> None:
    server = fake(*steps)
    ended = ctl("--socket", str(server.path), "upgrade")
    assert ended.returncode == Status.UNEXPECTED and ended.stdout == ""
    assert why in ended.stderr and "ctl status" in ended.stderr and "Traceback" not in ended.stderr


def test_a_result_of_a_newer_release_is_still_shown(ctl: Ctl, fake: Start) -> None:
    server = fake(result(9, "a kind of outcome that this release does not know", novel={"a": [1]}))
    ended = ctl("--socket", str(server.path), "upgrade")
    assert ended.returncode == 9 and "does not know" in ended.stderr


def test_timeout(ctl: Ctl, fake: Start) -> None:
    server = fake(phase("boot", "begin"), {"hang": True})
    ended = ctl("--socket", str(server.path), "upgrade", "--timeout", "0.2")
    assert ended.returncode == Status.INTERRUPTED
    assert ended.stderr == "timed out: no result in 0.2 s; the upgrade continues: ctl status, ctl abort\n"
    server.said()
    assert server.said() == "gone"


def test_stop_returns_when_the_process_has_ended(fake: Start, environ: dict[str, str]) -> None:
    server = fake(result(0, "stopped"), {"await": "go"}, {"exit": True})
    command = [sys.executable, "-m", "releve.ctl.main", "--socket", str(server.path), "stop"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        server.said()
        with pytest.raises(subprocess.TimeoutExpired):  # it has the result, and still waits
            process.wait(0.5)
        server.go("go")
        said, _ = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "stopped\n")
    assert server.process.wait(20) == 0


def test_control_characters_do_not_reach_the_terminal(ctl: Ctl, fake: Start) -> None:
    server = fake(
        phase("bo\x1b[2Jot", "done", text="\x9b31m"), result(4, "evil \x1b]0;title\x07", traceback="\x1b[31mred")
    )
    ended = ctl("--socket", str(server.path), "upgrade")
    assert "\x1b" not in ended.stderr and "\x9b" not in ended.stderr and "evil \\x1b]0;title\\x07" in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["upgrade", "--bogus"],
        ["upgrade", "--timeout", "0"],
        ["upgrade", "--timeout", "soon"],
        ["scale"],
        ["scale", "many"],
        ["scale", "--rest"],
        ["scale", "0"],
        ["scale", "1.5"],
        ["scale", "3", "--reset"],
        ["history", "-n", "0"],
        ["history", "0"],
        ["history", "last"],
        ["history", "12", "-n", "1"],
        ["-c", "a.yaml", "--socket", "b", "status"],
        ["-c", "absent.yaml", "status"],
    ],
)
def test_usage_errors(ctl: Ctl, arguments: list[str]) -> None:
    ended = ctl(*arguments)
    assert ended.returncode == Status.USAGE and ended.stdout == "" and ended.stderr
    assert "Traceback" not in ended.stderr


def test_help_has_every_exit_status(ctl: Ctl) -> None:
    ended = ctl("--help")
    assert ended.returncode == 0
    for status, meaning in MEANING.items():
        assert f"{int(status)}  {meaning.split(';')[0]}" in ended.stdout


def test_the_instance_may_be_named_after_the_verb_too(ctl: Ctl, fake: Start) -> None:
    server = fake(result(0, "fine"))
    assert ctl("status", "--socket", str(server.path)).stdout == "fine\n"
    assert ctl("status", env={"RELEVE_SOCKET": str(server.path)}).stdout == "fine\n"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["8.2"], ["ready", "no card"]),
        (["--worker", "8.2"], ["ready", "no card"]),
        (["2", "-p", "err"], ["no card"]),
        (["--level", "warn"], ["late", "no card"]),
    ],
)
def test_logs_of_one_worker_and_of_a_level_by_its_other_name(
    ctl: Ctl, fake: Start, tmp_path: Path, arguments: list[str], shown: list[str]
) -> None:
    stamp = "2026-11-23 21:38:31"
    lines = [f"{stamp} INFO gen=8 worker=2 pid=7 ready", f"{stamp} WARNING pid=6 late"]
    lines += [f"{stamp} STDERR gen=8 worker=2 pid=7 no card", "  Traceback (most recent call last):", "  KeyError"]
    (tmp_path / "log").write_text("\n".join(lines) + "\n")
    server = fake(result(0, "", log={"to": "file", "path": str(tmp_path / "log")}, access={"to": "off"}))
    ended = ctl("--socket", str(server.path), "logs", *arguments, "--json")
    assert [json.loads(line)["message"].splitlines()[0] for line in ended.stdout.splitlines()] == shown


def test_logs_of_two_workers_are_refused(ctl: Ctl) -> None:
    assert "name one worker, as in `ctl logs 8.2`" in ctl("logs", "8.2", "--worker", "8.1").stderr


def test_history_is_a_list_as_json_and_a_table_else(ctl: Ctl, fake: Start) -> None:
    start = {
        "id": 1,
        "verb": "start",
        "by": "releve",
        "began": "2026-11-23T21:38:31+00:00",
        "from": None,
        "outcome": "done",
        "seconds": 0.8,
    }
    bad = {
        "id": 2,
        "verb": "upgrade",
        "by": "root",
        "began": "2026-11-23T21:40:00+00:00",
        "outcome": "failed",
        "seconds": 65.2,
    }
    entries = [
        {**start, "from": None, "to": {"generation": 1}},
        {**bad, "from": {"generation": 1}, "step": "import", "reason": "no module 'x'"},
    ]
    server = fake(result(0, "2 attempts", entries=entries))
    assert json.loads(ctl("--socket", str(server.path), "history", "--json").stdout) == entries
    lines = ctl("--socket", str(server.path), "history", env={"TZ": "UTC"}).stdout.splitlines()
    assert lines[0].split() == ["id", "began", "verb", "by", "generation", "outcome", "took", "details"]
    assert lines[1].split() == ["1", "2026-11-23", "21:38:31", "start", "releve", "1", "done", "0.8s", "-"]
    assert lines[2].split(maxsplit=7)[5:] == ["1", "failed", "1m05s  import: no module 'x'"]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--since", "2026-11-23T21:39:00Z"], [2, 3]),
        (["--since", "2026-11-23T21:39:00Z", "-n", "1"], [3]),
        (["--since", "2026-11-23T21:38:31Z"], [1, 2, 3]),
        (["--since", "now"], [3]),  # one whose beginning nobody can read is shown
    ],
)
def test_history_since(ctl: Ctl, fake: Start, arguments: list[str], shown: list[int]) -> None:
    began = ["2026-11-23T21:38:31+00:00", "2026-11-23T21:40:00+00:00", "some day"]
    entries = [{"id": number, "verb": "upgrade", "began": stamp} for number, stamp in enumerate(began, 1)]
    server = fake(result(0, "3 attempts", entries=entries))
    ended = ctl("--socket", str(server.path), "history", *arguments, "--json")
    assert [entry["id"] for entry in json.loads(ended.stdout)] == shown


def test_a_time_that_is_none_is_refused(ctl: Ctl) -> None:
    ended = ctl("history", "--since", "tomorrow")
    assert ended.returncode == Status.USAGE
    assert "cannot use 'tomorrow' as a time: expected a duration or a time, such as 2h, " in ended.stderr


def test_an_empty_history(ctl: Ctl, fake: Start) -> None:
    assert ctl("--socket", str(fake(result(0, "0 attempts", entries=[])).path), "history").stdout == "no attempts\n"


@pytest.mark.parametrize(("verb", "status"), [("status", 1), ("upgrade", 0)])
def test_a_full_disk_behind_standard_output(fake: Start, environ: dict[str, str], verb: str, status: int) -> None:
    """The outcome of an operation is its exit status, whatever became of the words."""
    server = fake(result(0, "fine"))
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "releve.ctl.main", "--socket", str(server.path), verb],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, env=environ, check=False,
        )  # fmt: skip
    assert ended.returncode == status and ended.stderr == "cannot write the result: no space left on device\n"


def test_a_reader_of_the_progress_who_leaves_does_not_end_the_waiting(fake: Start, environ: dict[str, str]) -> None:
    server = fake(phase("boot", "done"), {"await": "go"}, phase("switch", "done"), result(4, "so it ended"))
    with subprocess.Popen(
        [sys.executable, "-m", "releve.ctl.main", "--socket", str(server.path), "upgrade"],
        stderr=subprocess.PIPE,
        env=environ,
    ) as process:
        assert process.stderr is not None and process.stderr.readline() == b"boot done\n"
        process.stderr.close()
        server.go("go")
        assert process.wait(20) == Status.FAILED


ENDS = """
import os, select, socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.bind(sys.argv[1])
sock.listen()
print(flush=True)
select.select([sock], [], [])
if sys.argv[2] == "in order":
    os.unlink(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [("in order", 0, "stopped; a stop was already under way"), ("killed", 1, "cannot tell how")],
)
def test_a_stop_that_comes_when_it_has_all_but_ended(
    ctl: Ctl, tmp_path: Path, how: str, status: int, words: str
) -> None:
    """Its connection is in the queue, and nobody takes it any more."""
    path = tmp_path / "s"
    with subprocess.Popen([sys.executable, "-c", ENDS, str(path), how], stdout=subprocess.PIPE) as ending:
        assert ending.stdout is not None and ending.stdout.readline()
        done = ctl("--socket", str(path), "stop")
    assert (done.returncode, words in done.stdout + done.stderr) == (status, True), done
