"""Pyramid's ``pserve production.ini`` runs Relève: the same process, upgrades that reread the file, and an end with
nothing left.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.service import PATIENCE_S, PYTHON, Service, eventually

pytest.importorskip("pyramid")

SITE = """
import logging
from pyramid.config import Configurator
from pyramid.response import Response

def say(request):
    logging.getLogger("shop").warning("asked")
    return Response(TEXT + " " + request.registry.settings["greeting"])

def main(global_config, **settings):
    with Configurator(settings=settings) as config:
        config.add_route("home", "/")
        config.add_view(say, route_name="home")
        return config.make_wsgi_app()
"""

INI = """
[app:main]
paste.app_factory = shop:main
greeting = hello

[app:second]
paste.app_factory = shop:main
greeting = second %(color)s

[server:main]
use = egg:releve#main
host = 127.0.0.1
port = {port}
unix_socket = %(here)s/http.sock
workers = 1
threads = 2
upgrade.probation = 100ms
runtime_directory = {root}/run
state_directory = {root}/state
env.SHOP = open

[server:other]
use = main
workers = 2

[loggers]
keys = root, shop
[handlers]
keys = file
[formatters]
keys = plain
[logger_root]
level = ERROR
handlers = file
[logger_shop]
level = WARNING
handlers = file
propagate = 0
qualname = shop
[handler_file]
class = FileHandler
args = ("{root}/shop.log",)
formatter = plain
[formatter_plain]
format = %(name)s: %(message)s
"""


class Pserve(Service):
    """A service that pserve starts."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.place = root / "shop"
        self.file = self.place / "production.ini"
        self.unix = self.place / "http.sock"
        self.place.mkdir()
        self.write(INI.format(port=self.port, root=root))
        self.code("one")
        self.environment["PYTHONPATH"] = str(self.place)

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def edit(self, before: str, after: str) -> None:
        text = self.file.read_text()
        assert before in text
        self.write(text.replace(before, after))

    def code(self, text: str) -> None:
        (self.place / "shop.py").write_text(f"TEXT = {text!r}\n{SITE}")

    def start(
        self, *arguments: str, wait: bool = True, command: tuple[str, ...] = ("-m", "pyramid.scripts.pserve")
    ) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [PYTHON, *command, *arguments],
                cwd=self.place, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        if wait:
            eventually(self.is_serving, "the service serves")


@contextlib.contextmanager
def pserve(root: Path, *arguments: str, **more: Any) -> Iterator[Pserve]:
    service = Pserve(root)
    try:
        service.start(*(arguments or ("production.ini",)), **more)
        yield service
    except BaseException:
        print(f"--- log of the service\n{service.log()[-12_000:]}\n---")
        raise
    finally:
        service.kill()


def ended(service: Pserve) -> int:
    assert service.process is not None
    status = service.process.wait(PATIENCE_S)
    service.gone()
    return status


def test_an_upgrade_rereads_the_file_and_the_code_and_a_signal_leaves_nothing(tmp_path: Path) -> None:
    with pserve(tmp_path) as service:
        assert service.get("/") == b"one hello"
        assert service.unix.is_socket() and service.supervisor() == service.pid, "pserve's process is the supervisor"
        command = Path(f"/proc/{service.pid}/cmdline").read_bytes()
        assert b"pserve" not in command, "no code of the application is left in it"
        service.edit("greeting = hello", "greeting = good day")
        service.edit("workers = 1", "workers = 2")
        service.code("number two")
        service.do("upgrade")
        assert service.get("/") == b"number two good day" and len(service.workers()) == 2
        service.edit("workers = 2\nthreads = 2", "worksers = 2\nthreads = 2")
        refused = service.ctl("upgrade")
        assert refused.returncode == 2
        assert (
            f"{service.file}:15:1: cannot use 'worksers': unknown key; did you mean 'workers'?"
            in refused.stderr + refused.stdout
        )
        assert service.get("/") == b"number two good day"
        os.kill(service.pid, signal.SIGTERM)
        assert ended(service) == 0


def test_names_variables_and_logging_are_kept_for_every_generation_and_every_supervisor(tmp_path: Path) -> None:
    with pserve(tmp_path, "-n", "second", "--server-name", "other", "production.ini", "color=red") as service:
        assert service.get("/") == b"one second red" and len(service.workers()) == 2
        assert (tmp_path / "shop.log").read_text() == "shop: asked\n"
        service.kill_supervisor()
        service.must("reexec")
        service.code("number two")
        service.do("upgrade")
        assert service.get("/") == b"number two second red"
        service.must("stop")
        service.gone()


def test_each_generation_reads_the_file_of_its_own_release(tmp_path: Path) -> None:
    service = Pserve(tmp_path)
    try:
        old, new = tmp_path / "41", tmp_path / "42"
        service.edit("%(here)s/http.sock", str(tmp_path / "http.sock"))
        service.unix = tmp_path / "http.sock"
        service.place.rename(old)
        new.mkdir()
        (new / "shop.py").write_text((old / "shop.py").read_text().replace("'one'", "'two'"))
        (new / "production.ini").write_text((old / "production.ini").read_text().replace("= hello", "= welcome"))
        service.place.symlink_to(old)
        service.environment["PWD"] = str(service.place)
        service.edit("threads = 2", "threads = 2\npreload = false")
        service.start("production.ini")
        assert service.get("/") == b"one hello"
        beside = tmp_path / "beside"
        beside.symlink_to(new)
        beside.replace(service.place)
        (worker,) = service.workers()
        # the one that follows it loads the application for itself, from the release that it belongs to
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: service.workers() - {worker}, "another worker serves")
        assert service.get("/") == b"one hello"
        service.do("upgrade")
        assert service.get("/") == b"two welcome"
        service.do("rollback")
        assert service.get("/") == b"one hello"
        os.kill(service.pid, signal.SIGINT)  # as Ctrl-C does
        assert ended(service) == 0
    finally:
        service.kill()


def test_without_pserve(tmp_path: Path) -> None:
    with pserve(
        tmp_path, "-c", "production.ini", "--app-name", "second", "--define", "color=blue", command=("-m", "releve")
    ) as service:
        assert service.get("/") == b"one second blue"
        service.must("stop")
        assert ended(service) == 0


def test_what_cannot_be_used_is_refused_with_its_place(tmp_path: Path) -> None:
    """More of it in the tests of the file's reader; here, that pserve's process ends with our status and our words."""
    service = Pserve(tmp_path)
    service.edit("= main\nworkers = 2", "= main\nbind = :80\nworkers = many")
    service.start("--server-name", "other", "production.ini", "color=x", wait=False)
    assert ended(service) == 2
    assert "production.ini:24:1: cannot use 'bind': unknown key; did you mean 'listen'?" in service.log()
    assert "production.ini:25:11: cannot use 'many' as workers" in service.log() and "Traceback" not in service.log()


def test_the_reloader_of_pserve_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import hupper

    from releve.supervisor import paste

    (tmp_path / "a.ini").write_text("[server:main]\n")
    told = {"__file__": str(tmp_path / "a.ini")}
    assert paste._command(told, {}, ())[4:] == ["-c", told["__file__"], "--server-name", "main"]
    monkeypatch.setattr(hupper, "is_active", lambda: True)
    with pytest.raises(paste.Refused, match="write `watch = code`"):
        paste._command(told, {}, ())


def test_a_section_that_is_another_one_than_pserve_has_read_is_refused(tmp_path: Path) -> None:
    from releve.supervisor import paste

    (tmp_path / "a.ini").write_text("[server:main]\nport = 1\n")
    with pytest.raises(
        paste.Refused, match="differs from what was given for port, workers; choose the section: --server-name NAME"
    ):
        paste._command({"__file__": str(tmp_path / "a.ini")}, {"port": "2", "workers": "3"}, ())


@pytest.mark.parametrize("group", ["paste.server_runner", "paste.server_factory"])
def test_the_entry_points_are_installed(group: str) -> None:
    (found,) = [point for point in importlib.metadata.distribution("releve").entry_points if point.group == group]
    assert found.name == "main" and callable(found.load())
