"""An application that comes from gunicorn, on both: what it says of the connection changes nothing that its clients
see.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.moved import HEADERS
from harness.noted import rest
from harness.workers import Client, Generation, listening

pytest.importorskip("gunicorn")

TESTS = Path(__file__).parents[2]
OF_THE_SERVER = {"connection", "content-length", "date", "server", "transfer-encoding"}


@pytest.fixture(scope="module")
def generation() -> Iterator[Generation]:
    with listening() as sock:
        made = Generation(8, [("127.0.0.1:8000", sock)])
        made.start("moved").resume()
        yield made
        made.close()


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[socket.socket]:
    settings = tmp_path_factory.mktemp("gunicorn") / "settings.py"
    # the latter is new in 25; others ignore it
    settings.write_text("worker_class = 'gthread'\ncontrol_socket_disable = True\n")
    with listening() as sock:
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--config",
            str(settings),
            "--bind",
            f"fd://{sock.fileno()}",
            "harness.moved",
        ]
        process = subprocess.Popen(command, pass_fds=[sock.fileno()], cwd=TESTS, stderr=subprocess.DEVNULL)
        yield sock
        process.terminate()
        process.wait(timeout=20)


@pytest.mark.parametrize("path", HEADERS)
def test_it_answers_as_on_gunicorn(generation: Generation, gunicorn: socket.socket, path: str) -> None:
    theirs, ours = (Client(sock.getsockname()) for sock in (gunicorn, generation.listeners[0][1]))
    name, value = HEADERS[path]
    for _ in range(1 if path == "/close" else 3):
        expected, answer = theirs.ask(path), ours.ask(path)
        assert (answer.status, answer.body) == (expected.status, expected.body)
        found, due = (
            {key: one.headers[key] for key in one.headers.keys() - OF_THE_SERVER} for one in (answer, expected)
        )
        if path == "/407":  # which gunicorn drops; its client would not know how to go on (docs/from-gunicorn.md)
            due[name.lower()] = value
        assert found == due
    if path == "/close":  # gunicorn stays; who asks for it wants the end
        assert answer.headers["connection"] == "close" and rest(ours) == b""
    else:
        assert answer.kept
