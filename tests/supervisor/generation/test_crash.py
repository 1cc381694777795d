"""Crashes: of each the thread that crashed, and the application's frames only, as a traceback reads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import releve.server
from releve.server.shared.link import ELSEWHERE, WANTS_ALL
from releve.supervisor.channels.crash_file import CrashFile
from releve.supervisor.generation.crash import Crash, Crashes, stack

TWO_THREADS = """Fatal Python error: {why}

Thread 0x00007f01 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 982 in run
  File "/srv/app.py", line 7 in waits

{crashed} 0x00007f02 (most recent call first):
  File "/srv/app.py", line 3 in parse_image
  File "/x/releve/server/call.py", line 9 in run

"""


@pytest.fixture
def file() -> Iterator[CrashFile]:
    one = CrashFile()
    yield one
    one.close()


def test_a_crash_names_the_application(tmp_path: Path, file: CrashFile) -> None:
    (tmp_path / "app.py").write_text("import os\n\ndef deepest():\n    os.abort()\n\ndeepest()\n")
    code = (
        f"import faulthandler; faulthandler.enable(open({file.fileno()}, 'wb', closefd=False)); import importlib; "
        "importlib.import_module('app')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, pass_fds=[file.fileno()], capture_output=True)
    assert done.returncode != 0
    lines = stack(file.next()).splitlines()
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


def test_what_only_watches_or_waits_is_not_in_the_application() -> None:
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


def test_what_a_process_writes_at_its_end_is_as_long_as_an_answer_of_the_supervisor_has_room_for() -> None:
    """The file is open in every process of the release."""
    for text in ("Fatal Python error: x\n" + "y\n" * 300_000, "Fatal Python error: " + "y" * 900_000):
        assert len(stack(text)) < 2500
    frames = "".join(f'  File "/srv/{"z" * 5000}.py", line {number} in f\n' for number in range(100))
    found = stack(f"Fatal Python error: x\n\nCurrent thread 0x1 (most recent call first):\n{frames}")
    assert len(found) < 6000 and found.startswith("Fatal Python error: x\n")


SEGFAULT = TWO_THREADS.format(why="Segmentation fault", crashed="Current thread").encode()


def test_a_crash_is_kept_told_and_logged(file: CrashFile, caplog: pytest.LogCaptureFixture) -> None:
    crashes = Crashes(file)
    told: list[Crash] = []
    crashes.on_crash = told.append
    assert crashes.stack() == ""
    os.write(file.fileno(), SEGFAULT)
    crashes.note("worker 3 (pid 7) was killed by SIGSEGV", {"who": "gen=1"})
    assert list(crashes.recent) == told and told[0].stack == crashes.stack()
    assert told[0].stack.endswith("line 3 in parse_image")
    [record] = caplog.records
    assert record.getMessage() == told[0].words and record.stack_info == told[0].stack
    crashes.forget()
    assert crashes.stack() == "" and list(crashes.recent) == told


def test_of_a_boot_the_attempt_says_more(file: CrashFile, caplog: pytest.LogCaptureFixture) -> None:
    """Unless the application wants the stacks of all threads, which nothing else shows."""
    crashes = Crashes(file)
    for logged, mark in ((0, b""), (1, WANTS_ALL)):
        os.write(file.fileno(), mark + SEGFAULT)
        crashes.note("it was killed", {"who": "gen=1"}, booting=True)
        assert len(caplog.records) == logged and len(crashes.recent) == logged + 1
    assert "in waits" in str(caplog.records[0].stack_info)


def test_where_the_stack_is_elsewhere_the_log_says_so(file: CrashFile) -> None:
    crashes = Crashes(file)
    os.write(file.fileno(), ELSEWHERE)
    crashes.note("it was killed", {"who": "gen=1"})
    assert "to another file" in crashes.recent[0].stack


def test_a_crash_is_what_its_picture_shows() -> None:
    crash = Crash(1e9 + 0.25, "worker 3 was killed", "the stack")
    assert Crash.pictured(crash.picture()) == crash
