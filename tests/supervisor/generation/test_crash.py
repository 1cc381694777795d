"""The crash file: crash by crash, of each the thread that crashed, and the application's frames only, as a traceback
reads.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import releve.server
from releve.server.shared.link import ELSEWHERE, WANTS_ALL
from releve.supervisor.generation import crash
from releve.supervisor.generation.crash import CrashFile, append_only, open_crash_file, stack
from releve.supervisor.generation.news import EFFECTS
from releve.supervisor.reporting.failure import StepFailed

TWO_THREADS = """Fatal Python error: {why}

Thread 0x00007f01 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 982 in run
  File "/srv/app.py", line 7 in waits

{crashed} 0x00007f02 (most recent call first):
  File "/srv/app.py", line 3 in parse_image
  File "/x/releve/server/call.py", line 9 in run

"""


@pytest.fixture
def fd() -> Iterator[int]:
    """A crash file."""
    one = open_crash_file()
    append_only(one)
    yield one
    os.close(one)


def test_nothing_crashed(fd: int) -> None:
    file = CrashFile(fd)
    assert (file.next(), file.last, file.wants_all, file.elsewhere) == ("", "", False, False)


def test_a_crash_names_the_application(tmp_path: Path, fd: int) -> None:
    (tmp_path / "app.py").write_text("import os\n\ndef deepest():\n    os.abort()\n\ndeepest()\n")
    code = (
        f"import faulthandler; faulthandler.enable(open({fd}, 'wb', closefd=False)); import importlib; "
        "importlib.import_module('app')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, pass_fds=[fd], capture_output=True)
    assert done.returncode != 0
    lines = stack(CrashFile(fd).next()).splitlines()
    assert lines[0].startswith("Fatal Python error: Aborted")
    assert lines[-1].endswith("line 4 in deepest") and lines[-2].endswith("line 6 in <module>")
    assert not any("importlib" in line for line in lines)


def test_it_is_the_thread_that_crashed() -> None:
    found = stack(TWO_THREADS.format(why="Segmentation fault", crashed="Current thread"))
    assert found == 'Fatal Python error: Segmentation fault\n  File "/srv/app.py", line 3 in parse_image'


def test_one_without_python_code_is_no_other_thread() -> None:
    assert "runs no Python code" in stack(TWO_THREADS.format(why="Segmentation fault", crashed="Thread"))


def test_of_a_process_that_hung_it_is_the_thread_that_is_in_the_application() -> None:
    """The main thread, which gets the signal, only waits."""
    hung = (
        TWO_THREADS.format(why="Aborted", crashed="Thread")
        + 'Current thread 0x1 (most recent call first):\n  File "/x/releve/server/lead.py", line 1 in wait\n'
    )
    assert stack(hung).splitlines()[-1] == '  File "/srv/app.py", line 7 in waits'


def test_what_only_watches_or_waits_is_not_in_the_application(fd: int) -> None:
    """Whatever file of the server it is in; an application's own folder `server` is not ours."""
    ours = os.path.dirname(releve.server.__file__)
    hung = (
        "Fatal Python error: Aborted\n\nThread 0x1 (most recent call first):\n  File "
        f'"{ours}/stacks.py", line 162 in _await\n\n'
        'Thread 0x2 (most recent call first):\n  File "/srv/server/worker.py", line 7 in waits\n  '
        f'File "{ours}/call.py", line 9 in run\n\n'
        f'Current thread 0x3 (most recent call first):\n  File "{ours}/lead.py", line 1 in wait\n'
    )
    assert stack(hung).splitlines()[1:] == ['  File "/srv/server/worker.py", line 7 in waits']


def test_a_crash_of_nobody_does_not_shift_those_to_come(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that no process of ours has ended by is taken for the next one's, and only for that."""
    file = CrashFile(fd)
    for why in ("Bus error", "Segmentation fault"):
        os.write(fd, TWO_THREADS.format(why=why, crashed="Current thread").encode())
    assert "Bus error" in file.next()
    monkeypatch.setattr(crash, "_UNTOLD_S", 0.0)
    os.write(fd, TWO_THREADS.format(why="Illegal instruction", crashed="Current thread").encode())
    assert "Illegal instruction" in file.next()


def test_what_crashed_before_is_no_evidence_against_what_is_tried_next(fd: int) -> None:
    file = CrashFile(fd)
    os.write(fd, TWO_THREADS.format(why="Bus error", crashed="Current thread").encode())
    file.forget()
    assert file.last == "" and "Bus error" in file.next()  # whose end is told later


def test_each_crash_is_told_once_and_of_those_before_us_none(fd: int) -> None:
    file = CrashFile(fd)
    for why in ("Segmentation fault", "Bus error"):
        os.write(fd, TWO_THREADS.format(why=why, crashed="Current thread").encode())
    assert [file.next().splitlines()[0] for _ in range(2)] == [
        "Fatal Python error: Segmentation fault",
        "Fatal Python error: Bus error",
    ]
    assert file.next() == "" and "Bus error" in file.last
    adopted = CrashFile(fd, adopted=True)
    assert adopted.next() == "" and "Bus error" in adopted.last


def test_what_was_asked_for_is_no_crash_and_may_be_cut_off_again(fd: int) -> None:
    file = CrashFile(fd)
    os.write(fd, b"Thread 0x1 (most recent call first):\n")
    assert file.next() == ""
    crash.take(fd, 0)
    os.write(fd, TWO_THREADS.format(why="Bus error", crashed="Current thread").encode())
    assert "Bus error" in file.next()


def test_the_file_stays_small_and_keeps_what_the_application_asked_for(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crash, "_KEPT_BYTES", 1000)
    file = CrashFile(fd)
    os.write(fd, WANTS_ALL)
    for _ in range(10):
        os.write(fd, TWO_THREADS.format(why="Bus error", crashed="Current thread").encode())
        assert "Bus error" in file.next()
    assert crash.written_bytes(fd) < 2000 and file.wants_all and not file.elsewhere
    os.write(fd, ELSEWHERE)
    assert file.elsewhere
    for _ in range(10):
        os.write(fd, TWO_THREADS.format(why="Bus error", crashed="Current thread").encode())
        file.next()
    assert file.wants_all and file.elsewhere


def test_what_a_process_writes_at_its_end_is_as_long_as_an_answer_of_the_supervisor_has_room_for() -> None:
    """The file is open in every process of the release."""
    for text in ("Fatal Python error: x\n" + "y\n" * 300_000, "Fatal Python error: " + "y" * 900_000):
        assert len(stack(text)) < 2500
    frames = "".join(f'  File "/srv/{"z" * 5000}.py", line {number} in f\n' for number in range(100))
    found = stack(f"Fatal Python error: x\n\nCurrent thread 0x1 (most recent call first):\n{frames}")
    assert len(found) < 6000 and found.startswith("Fatal Python error: x\n")


def heard(**message: object) -> StepFailed:
    """What a generation in which something crashed once makes of a `failed`."""
    answers: list[StepFailed] = []
    generation = SimpleNamespace(
        crash_stack=lambda: "the stack",
        booting=SimpleNamespace(fail=answers.append),
        master=SimpleNamespace(answer=lambda message, failure: answers.append(failure)),
    )
    EFFECTS["failed"](generation, {"type": "failed", "reason": "why", **message}, [])  # type: ignore[arg-type]
    return answers[0]


def test_a_crash_is_evidence_where_workers_were_to_start_and_nothing_else_is_said() -> None:
    assert heard(step="boot").traceback == heard(step="workers", id=1).traceback == "the stack"
    assert heard(step="workers", traceback="theirs").traceback == "theirs"
    assert heard(step="pause", id=1).traceback == ""
