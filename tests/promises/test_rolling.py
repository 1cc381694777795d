"""Promise: a rolling upgrade never has more than one worker extra, and loses nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.load import strictly
from harness.service import Service, serving

ROLLING = {"mode": "rolling"}
WORKERS = 3


@contextmanager
def counting(service: Service) -> Iterator[list[int]]:
    """How many workers there are, all generations together, as often as can be asked; those that are leaving
    left out.
    """
    over, found = threading.Event(), []

    def count() -> None:
        while not over.is_set():
            found.append(sum(w["state"] != "leaving" for g in service.status()["generations"] for w in g["workers"]))

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def test_worker_by_worker(tmp_path: Path) -> None:
    with (
        serving(tmp_path, workers=WORKERS, upgrade=ROLLING) as service,
        strictly(*service.addresses, serving=1, clients=40) as load,
    ):
        for generation in (2, 3):
            load.begin(generation)
            with counting(service) as found:
                service.do("upgrade")
            load.done(generation)
            assert max(found) == WORKERS + 1 and min(found) >= WORKERS
            assert len(service.workers()) == WORKERS
            assert len(service.generation("standby")["workers"]) == 1
        load.begin(2)
        service.do("rollback")
        load.done(2)
        assert service.serving() == 2 and len(service.workers()) == WORKERS
        assert load.report()["announced_closes"] == 0


def test_a_worker_that_fails_half_way(tmp_path: Path) -> None:
    """The second worker of the new release does not come up: the old release has all its workers again."""
    with serving(tmp_path, workers=WORKERS, preload=False, upgrade=ROLLING) as service:
        marker = tmp_path / "first"
        late = (
            f"import os\ntry:\n    os.close(os.open({str(marker)!r}, os.O_CREAT | os.O_EXCL))\nexcept "
            "OSError:\n    os._exit(9)\n"
        )
        app = service.release("two", late=late) / "app.py"
        app.write_text(app.read_text() + "\nimport late\n")
        service.flip("two")
        # The generation that fails has served for a moment: its connections go back to the old one.
        with strictly(*service.addresses, serving=1, clients=40) as load:
            load.begin(2)
            done = service.ctl("upgrade")
            assert done.returncode == 4, done.stdout + done.stderr
            load.done(1)
            assert service.serving() == 1 and len(service.workers()) == WORKERS
        service.settled()
