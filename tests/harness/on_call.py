"""The table of ``docs/on-call.md``, and the application that brings a service into each of its states."""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.service import Service, eventually, serving
from releve.instance.protocol import Status

PAGE = Path(__file__).parents[2] / "docs" / "on-call.md"
COLUMNS = 5
# what differs from service to service, and what each looks like; then everything else
_PARTS = re.compile(
    r"(?P<path>(?<=[ (])/[\w/.-]+)|(?P<number>\d(?:[\d,.]*\d)?(?:m?s\b|h\d+m)?)|(?P<space> +)|(?P<word>.)"
)
_LIKE = {"path": r"/[\w/.-]+", "number": r"[\d,.]+(?:m?s|m|h\d+m)?", "space": " +"}
_TABLE = re.compile(r"<!-- table on-call -->\n+(.*?)\n+<!-- end -->", re.DOTALL)

APP = """
import os, resource, signal, threading
FIRST, SECOND, BOTH = threading.Lock(), threading.Lock(), threading.Barrier(2)
LEAKED = []

def query_the_database(fifo):
    open(fifo).close()

def first_then_second():
    with FIRST:
        BOTH.wait()
        SECOND.acquire()

def second_then_first():
    with SECOND:
        BOTH.wait()
        FIRST.acquire()

def compute(gate):
    while os.path.exists(gate):
        sum(range(100_000))

def leak(mebibytes):
    LEAKED.append(bytearray(os.urandom(4096)) * (int(mebibytes) * 256))

def open_files(most):
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(most), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    while True:
        LEAKED.append(open("/dev/null"))

def write(path):
    with open(path, "w") as file:
        file.write("an upload")

def crash():
    signal.raise_signal(signal.SIGABRT)

def fail():
    raise RuntimeError("no such table: shop")

def application(environ, start_response):
    name, query = environ["PATH_INFO"][1:], environ["QUERY_STRING"]
    if name:
        globals()[name](*[query] if query else [])
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""


@dataclass(frozen=True)
class Row:
    """What the page says of one symptom."""

    symptom: str
    command: tuple[str, ...]  # without ``ctl``
    line: str

    def shown(self, service: Service) -> list[str]:
        """The lines like that of the page, as its command shows them now; numbers, paths and clients differ."""
        done = service.ctl(*self.command)
        assert done.returncode in (Status.DONE, Status.DEGRADED), done.stderr
        return re.findall(pattern(self.line), done.stdout)

    def awaited(self, service: Service) -> str:
        """The first of them, once there is one."""
        return str(eventually(lambda: self.shown(service), f"ctl {' '.join(self.command)}: {self.line}")[0])


@contextlib.contextmanager
def troubled(root: Path, **settings: Any) -> Iterator[Service]:
    """A service that runs that application."""
    with serving(root, start=False, **settings) as service:
        service.release("one", app=APP)
        service.start()
        yield service


def sampled(service: Service, percent: float = 0.0) -> list[dict[str, Any]]:
    """The workers in service, once the processor time of all of them is known, which the supervisor samples now and
    then; and once one of them has used as much.
    """

    def known() -> list[dict[str, Any]]:
        workers: list[dict[str, Any]] = service.generation()["workers"]
        used = [one["cpu_percent"] for one in workers]
        return workers if None not in used and max(used) >= percent else []

    found: list[dict[str, Any]] = eventually(known, "it is sampled")
    return found


@contextlib.contextmanager
def asking(service: Service, *targets: str) -> Iterator[None]:
    """Clients that wait for their answers, and leave."""
    with contextlib.ExitStack() as stack:
        for target in targets:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
        yield


def rows() -> dict[str, Row]:
    """Those of the page, by symptom."""
    table = _TABLE.search(PAGE.read_text("utf-8"))
    assert table, "it has its table"
    found = {}
    for text in table[1].splitlines()[2:]:
        symptom, command, line, *more = (cell.strip() for cell in text.strip("|").split("|"))
        assert len(more) == COLUMNS - 3 and all(more), text
        ctl, *words = shlex.split(command.strip("`"))
        assert ctl == "ctl", command
        found[symptom] = Row(symptom, tuple(words), line.strip("`"))
    return found


def pattern(line: str) -> str:
    """What lines look like that say the same of another service."""
    return "".join(_LIKE.get(str(one.lastgroup), re.escape(one[0])) for one in _PARTS.finditer(line))
