"""The real logrotate, over and over, under load: every line is in one file, once and whole."""

from __future__ import annotations

import gzip
import http.client
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.customized import customize
from harness.service import PATIENCE_S, Service, eventually, serving

LOGROTATE = shutil.which("logrotate") or "/usr/sbin/logrotate"
PAGE = Path(__file__).parents[2] / "docs" / "logs.md"
ROUNDS = 3
THINK_S = 0.01  # a client that does not would be most of what these tests take
LOOKS_OFTEN = "from releve.supervisor.generation import totals; totals.EVERY_S = 1.0"
APP = """
import os
def application(environ, start_response):
    number = environ["QUERY_STRING"]
    print("said", number)
    os.write(1, f"raw {number}\\n".encode())
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
"""
ACCESS = re.compile(r'127\.0\.0\.1 - - \[[^]]+\] "GET /\?(\d+-\d+) HTTP/1\.1" 200 2 "-" "-"')
SAID = re.compile(r"\S+ \S+ STDOUT gen=\d+ worker=\d+ pid=\d+ said (\d+-\d+)")
OURS = re.compile(r"\S+ \S+ (INFO|WARNING) (gen=\d+ )?(worker=\d+ )?pid=\d+ .*")
RAW = re.compile(r"raw (\d+-\d+)")

pytestmark = [
    pytest.mark.skipif(not Path(LOGROTATE).exists(), reason="needs logrotate"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: logrotate gives the new files to root and adm"),
]


class Load:
    """Clients that ask, each question once, and count what was answered."""

    def __init__(self, service: Service, clients: int = 3) -> None:
        self.answered: list[list[str]] = [[] for _ in range(clients)]
        self.errors: list[BaseException] = []
        self._port = service.port
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(client,)) for client in range(clients)]

    def _ask(self, client: int) -> None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
            while not self._ending.is_set():
                question = f"{client}-{len(self.answered[client])}"
                connection.request("GET", f"/?{question}", headers={"Accept-Encoding": "identity"})
                assert connection.getresponse().read() == b"ok"
                self.answered[client].append(question)
                self._ending.wait(THINK_S)
            connection.close()
        except BaseException as error:
            self.errors.append(error)

    def more(self, number: int) -> None:
        """Until so many more have been answered."""
        wanted = self.count() + number
        eventually(lambda: self.errors or self.count() >= wanted, f"{number} more answers")

    def count(self) -> int:
        return sum(map(len, self.answered))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)


def snippet(service: Service, logs: Path) -> str:
    """The configuration on the page, with our folder and our command."""
    text = PAGE.read_text().partition("<!-- logrotate -->\n```\n")[2].partition("```")[0]
    command = f"{sys.executable} -m releve.ctl.main -c {service.file}"
    for documented, ours in (
        ("/var/log/mysite", str(logs)),
        ("/opt/releve/bin/ctl -c /etc/releve/mysite.yaml", command),
    ):
        assert documented in text
        text = text.replace(documented, ours)
    return text


def rotate(folder: Path, configuration: str) -> None:
    file = folder / "logrotate.conf"
    file.write_text(configuration)
    file.chmod(0o644)
    command = [LOGROTATE, "--force", "--state", str(folder / "logrotate.state"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, cwd="/")
    assert done.returncode == 0 and "error" not in done.stderr, done.stderr


def lines(logs: Path, name: str) -> list[str]:
    """Every line of a log, in whichever file it is."""
    found: list[str] = []
    for path in logs.glob(f"{name}*"):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert not data or data.endswith(b"\n"), path
        found += data.decode().splitlines()
    return found


def must_have_all(logs: Path, load: Load) -> None:
    """Each answer is in the access log, once; so is what the application printed for it; and no line is torn."""
    assert not load.errors
    asked = Counter(question for answered in load.answered for question in answered)
    access, log = lines(logs, "access.log"), lines(logs, "mysite.log")
    assert [line for line in access if not ACCESS.fullmatch(line)] == []
    assert [line for line in log if not any(pattern.fullmatch(line) for pattern in (SAID, RAW, OURS))] == []
    for pattern, where in ((ACCESS, access), (SAID, log), (RAW, log)):
        seen = Counter(found[1] for line in where if (found := pattern.fullmatch(line)))
        assert not asked - seen, f"{len(asked - seen)} of {len(asked)} are missing"
        assert not seen - asked, "a line is there twice"


@contextmanager
def logging_service(tmp_path: Path, custom: str = "pass") -> Iterator[tuple[Service, Path]]:
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o755)
    files = {"access": "logs/access.log", "file": "logs/mysite.log"}
    with serving(tmp_path, start=False, workers=2, log=files, upgrade={"standby": "1h"}) as service:
        customize(service, custom)
        service.release("one", app=APP)
        service.start()
        yield service, logs


def test_the_documented_way(tmp_path: Path) -> None:
    with logging_service(tmp_path) as (service, logs):
        with Load(service) as load:
            for round_ in range(ROUNDS):
                load.more(60)
                # it compresses the old ones at once: nobody may write to them any more
                rotate(tmp_path, snippet(service, logs))
                if round_ == 1:
                    service.do("upgrade")
            load.more(60)
        service.must("stop")
        names = {path.name for path in logs.iterdir()}
        assert {
            f"{name}.{number}.gz" for name in ("access.log", "mysite.log") for number in range(1, ROUNDS + 1)
        } <= names
        must_have_all(logs, load)


@pytest.mark.parametrize("after", ["postrotate\nkill -USR1 {pid}\nendscript", ""], ids=["USR1", "nothing"])
def test_other_ways(tmp_path: Path, after: str) -> None:
    with logging_service(tmp_path, "pass" if after else LOOKS_OFTEN) as (service, logs):
        inodes = set()
        with Load(service) as load:
            for _ in range(2):
                load.more(60)
                rotate(
                    tmp_path, f"{logs}/*.log {{\nrotate 9\ncreate\nsharedscripts\n{after.format(pid=service.pid)}\n}}\n"
                )
                eventually(
                    lambda: all(path.stat().st_size for path in logs.glob("*.log")), "the new files are written to"
                )
                inodes |= {path.stat().st_ino for path in logs.glob("*.log")}
            load.more(60)
        service.must("stop")
        assert len(inodes) == 4
        must_have_all(logs, load)


def test_copytruncate_leaves_no_hole(tmp_path: Path) -> None:
    with logging_service(tmp_path) as (service, logs):
        with Load(service) as load:
            for _ in range(ROUNDS):
                load.more(60)
                rotate(tmp_path, f"{logs}/*.log {{\nrotate 9\ncopytruncate\n}}\n")
            load.more(100)
        service.must("stop")
        assert not load.errors
        for path in logs.glob("*.log*"):
            assert b"\0" not in path.read_bytes()  # written to append: from the new beginning on
        assert len((logs / "access.log").read_text().splitlines()) >= 100
