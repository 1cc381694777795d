"""A pause: functions of the application that are told of it, and Django connections that are closed in every thread."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.workers import Client, Generation, Worker, eventually, listening, request
from releve.server.worker import pause_hooks
from releve.server.wsgi import django as databases

NAME = "127.0.0.1:8000"
HOOKS = {"after_fork": "shop:forked", "on_pause": "shop:paused", "on_resume": "shop:resumed"}


class Site:
    """A worker of the shop, and where its connections and its hooks leave their traces."""

    def __init__(self, folder: Path, generation: Generation) -> None:
        self.folder = folder
        self.generation = generation

    def start(self, **settings: object) -> Worker:
        worker = self.generation.start("shop", **settings)  # type: ignore[arg-type]
        worker.resume()
        return worker

    def connect(self) -> Client:
        return Client(self.generation.listeners[0][1].getsockname())

    def open(self) -> int:
        """Database connections that are open."""
        return len(list((self.folder / "open").iterdir()))

    def told(self) -> list[str]:
        file = self.folder / "told"
        return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []

    def threads(self) -> set[str]:
        return {line.split()[2] for line in (self.folder / "told").read_text().splitlines()}

    def hold(self) -> Path:
        """What keeps on_pause from returning."""
        (self.folder / "told.hold").touch()
        return self.folder / "told.hold"

    def crowd(self, clients: int) -> Callable[[], None]:
        """Requests that are in the application at the same time, each with a connection; the function lets them end."""
        waiting = [self.connect() for _ in range(clients)]
        until = self.folder / "until"
        until.unlink(missing_ok=True)
        for number, client in enumerate(waiting):
            (self.folder / f"at{number}").unlink(missing_ok=True)
            client.send(request(f"/query?at={self.folder}/at{number}&until={until}"))
        for number in range(clients):
            eventually((self.folder / f"at{number}").exists, "the request runs")

        def finish() -> None:
            until.touch()
            for client in waiting:
                assert client.answer().status == 200
                client.close()

        return finish


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    (tmp_path / "open").mkdir()
    monkeypatch.setenv("RELEVE_TEST_OPEN", str(tmp_path / "open"))
    monkeypatch.setenv("RELEVE_TEST_TOLD", str(tmp_path / "told"))
    with listening() as sock:
        made = Generation(7, [(NAME, sock)])
        yield Site(tmp_path, made)
        made.close()


@pytest.mark.parametrize("threads", [1, 2, 6])
def test_no_database_connection_is_open_while_it_stands_by(site: Site, threads: int) -> None:
    worker = site.start(threads=threads)
    assert site.open() == 0, "what the import opened is closed"
    site.crowd(threads)()
    for _ in range(20):
        assert site.connect().ask("/query").status == 200
    assert site.open() >= threads, "they are persistent"
    worker.pause()
    eventually(lambda: site.open() == 0, "every thread has closed its own")
    worker.resume()
    site.crowd(threads)()
    assert site.open() >= threads
    worker.pause()
    eventually(lambda: site.open() == 0, "and once more")


def test_requests_in_flight_keep_theirs_until_they_end(site: Site) -> None:
    worker = site.start(threads=4)
    finish = site.crowd(3)
    worker.pause()
    assert site.open() >= 3
    finish()
    eventually(lambda: site.open() == 0, "closed")


def test_a_check_while_it_stands_by_leaves_none(site: Site) -> None:
    worker = site.start()
    worker.pause()
    for _ in range(3):
        ours, theirs = socket.socketpair()
        worker.tell("serve", (theirs.fileno(),), listener=NAME)
        theirs.close()
        client = Client.__new__(Client)
        client.socket, client._buffer = ours, bytearray()
        ours.settimeout(20)
        assert client.ask("/query").status == 200
        ours.close()
        eventually(lambda: site.open() == 0, "closed again")


@pytest.mark.parametrize("threads", [1, 8])
def test_each_function_is_called_at_its_time(site: Site, threads: int) -> None:
    worker = site.start(threads=threads, hooks=HOOKS)
    assert site.told() == ["forked"] and site.threads() == {"main"}
    finish = site.crowd(1)
    worker.pause()
    assert site.told() == ["forked"], "a request is in the application"
    finish()
    eventually(lambda: site.told() == ["forked", "paused"], "told of the pause")
    worker.resume()  # which is said when it accepts
    assert site.told() == ["forked", "paused", "resumed"]
    assert site.connect().ask("/query").status == 200
    assert site.threads() == ({"main"} if threads == 1 else {"main", "other"})


def test_a_pause_that_is_over_before_it_is_complete_is_not_told(site: Site) -> None:
    worker = site.start(hooks=HOOKS)
    finish = site.crowd(1)
    worker.pause()
    worker.resume()
    finish()
    assert site.told() == ["forked"]


def test_what_they_raise_is_logged_and_changes_nothing(site: Site) -> None:
    worker = site.start(hooks={"on_pause": "shop:fails", "on_resume": "shop:fails"})
    assert site.connect().ask("/query").status == 200
    worker.pause()
    eventually(lambda: site.open() == 0, "the connections are closed all the same")
    worker.resume()
    assert site.told() == ["fails", "fails"]
    assert site.connect().ask("/query").status == 200
    assert "no scheduler" in site.generation.log


def test_one_that_hangs_does_not_keep_the_worker_from_its_loop_nor_for_ever_from_accepting(site: Site) -> None:
    worker = site.start(hooks=HOOKS)
    hold = site.hold()
    worker.pause()
    eventually(lambda: "paused" in site.told(), "it hangs")
    beat = worker.numbers.heartbeat_ns
    worker.tell("ping")
    eventually(lambda: worker.numbers.heartbeat_ns > beat, "the loop turns")
    worker.tell("resume")
    worker.await_state("serving")
    assert "resumed" not in site.told() and f"did not return for {pause_hooks.HOLD_S:g} s" in site.generation.log
    assert site.connect().ask("/query").status == 200
    hold.unlink()
    worker.quit()
    assert worker.ended() == 0


def test_told_to_leave_while_one_hangs(site: Site) -> None:
    worker = site.start(hooks=HOOKS)
    site.hold()
    worker.pause()
    eventually(lambda: "paused" in site.told(), "it hangs")
    worker.tell("resume")
    worker.quit()
    assert worker.ended() == 0, "without having accepted again"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("shop:fails", "cannot run hooks.after_fork: LookupError: no scheduler"),
        ("shop:absent", "cannot find 'absent' in shop (hooks.after_fork)"),
        ("shop:OPEN", "not callable"),
        ("absent:x", "No module named 'absent'"),
    ],
)
def test_a_worker_has_not_booted_if_after_fork_fails(site: Site, function: str, words: str) -> None:
    worker = site.generation.launch("shop", hooks={"after_fork": function})
    failed = worker.hear()
    assert failed is not None and (failed["type"], failed["step"]) == ("failed", "after_fork")
    assert words in failed["reason"]
    if function == "shop:fails":
        assert "in fails" in failed["traceback"]


def test_one_that_is_missing_is_noticed_at_the_boot_and_not_at_the_pause(site: Site) -> None:
    failed = site.generation.launch("shop", hooks={"on_pause": "shop:absent"}).hear()
    assert failed is not None and "hooks.on_pause" in failed["reason"]


class Pooled:
    """A connection as Django 5.1 makes it for PostgreSQL."""

    def __init__(self, pools: dict[str, object]) -> None:
        self._connection_pools = pools

    def close_pool(self) -> None:
        del self._connection_pools["default"]


def test_a_pool_is_closed_after_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    pools: dict[str, object] = {"default": object()}

    class Connections(list[str]):
        _connections = type("Local", (), {"default": Pooled(pools), "other": object()})()

        def close_all(self) -> None:
            assert pools, "a connection goes back to its pool"

    django_db = type("db", (), {"connections": Connections(["default", "other"])})
    monkeypatch.setattr("importlib.import_module", lambda name: django_db)
    databases.close()
    databases.close()
    assert pools
    databases.close_pools()
    assert not pools
