"""How a process has ended, in words; and the title of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from releve.server.shared.system import describe_exit, set_title


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "exited with status 0"),
        (3, "exited with status 3"),
        (-9, "was killed by SIGKILL"),
        (-63, "was killed by signal 63"),
    ],
)
def test_exits_in_words(status: int, text: str) -> None:
    assert describe_exit(status) == text


TITLED = """
import json, os, sys
from releve.server.shared.system import set_title
def seen():
    command, comm, environ = (open(f"/proc/self/{name}", "rb").read() for name in ("cmdline", "comm", "environ"))
    return [command.decode(), comm.decode().strip(), b"MARK=here" in environ.split(b"\\0")]
for title in sys.argv[2:]:
    set_title(title, "releve-test")
    print(json.dumps(seen()))
    child = os.fork()
    if not child:
        set_title("a child", "releve-child")
        os._exit(seen()[0].rstrip("\\0") != "a child")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(json.dumps([sys.argv, sys.orig_argv[0] == sys.argv[1]]))
"""


def test_a_title_takes_the_place_of_the_command_line_and_of_nothing_else() -> None:
    long = "releve: worker 8.1 " + "é" * 9000
    command = [sys.executable, "-c", TITLED, sys.executable, "releve: worker 8.1 shop", long, "short"]
    done = subprocess.run(
        command, env={**os.environ, "MARK": "here"}, capture_output=True, text=True, check=True, timeout=60
    )
    *seen, arguments = map(json.loads, done.stdout.splitlines())
    room = sum(len(os.fsencode(word)) + 1 for word in command)
    for (shown, name, marked), title in zip(seen, command[4:], strict=True):
        text = shown.rstrip("\0")
        assert len(os.fsencode(shown)) == room and title.startswith(text) and marked and name == "releve-test"
        assert text == title or room - len(text.encode()) <= 2
    assert arguments == [["-c", *command[3:]], True]


OTHERS = """
import ctypes, os
from releve.server.shared.system import set_title, show_command
def seen(name):
    with open(f"/proc/self/{name}", "rb") as file:
        return file.read()
command = seen("cmdline")
set_title("releve: ours", "releve-test")
assert seen("cmdline").rstrip(b"\\0") == b"releve: ours"
show_command("releve-back")
assert (seen("cmdline"), seen("comm")) == (command, b"releve-back\\n")
set_title("releve: ours again", "releve-test")
child = os.fork()
if not child:
    start = int(seen("stat").rpartition(b")")[2].split()[45])
    theirs = b"shop: payments".ljust(len(command), b"\\0")
    ctypes.memmove(start, theirs, len(theirs))
    set_title("releve: not this", "releve-not")
    show_command("releve-not")
    os._exit((seen("cmdline"), seen("comm")) != (theirs, b"releve-test\\n"))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
set_title("releve: third", "releve-test")
assert seen("cmdline").rstrip(b"\\0") == b"releve: third"
"""


def test_the_command_is_shown_again_and_a_title_of_the_applications_stays() -> None:
    subprocess.run([sys.executable, "-c", OTHERS], check=True, timeout=60)


def test_a_title_that_cannot_be_set_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", absent)
    set_title("releve: nobody", "pytest")
