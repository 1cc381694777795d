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


def test_a_title_that_cannot_be_set_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", absent)
    set_title("releve: nobody", "pytest")
