"""Promise: a worker that is replaced because it has done enough, or grown, loses no request."""

from __future__ import annotations

from pathlib import Path

from harness.load import strictly
from harness.service import eventually, serving

LEAKING = """
_kept = []

def application(environ, start_response):
    import app
    _kept.append(bytearray(600_000))
    return app.application(environ, start_response)
"""


def test_workers_are_replaced_after_so_many_requests(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2, limits={"requests": 50, "requests_jitter": 10}) as service:
        first = service.workers()
        with strictly(*service.addresses, serving=service.serving()) as load:
            load.wait(600)
            assert not first & service.workers()
        assert service.log().count("; replacing it with worker") >= 5
        assert service.log().count("(limits.requests)") >= 5


def test_workers_that_grow_are_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=1, app="leaking:application", limits={"rss": "120MiB"}) as service:
        service.release("one", leaking=LEAKING)
        service.start()
        first = service.workers()
        with strictly(*service.addresses, serving=service.serving(), clients=20) as load:
            load.wait(200)
            eventually(lambda: not first & service.workers(), "it was replaced")
        assert "MiB of memory (limits.rss)" in service.log()


def test_a_worker_is_restarted_by_its_name(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as service:
        first = service.workers()
        with strictly(*service.addresses, serving=service.serving()) as load:
            said = service.must("restart", "1")
            assert "replaced 1.1 with 1.3" in said
            assert " was asked to leave (ctl restart); replacing it with worker 3 (pid " in service.log()
            eventually(lambda: len(service.workers()) == 2 and len(first & service.workers()) == 1, "one has gone")
            load.wait(50)
            service.must("restart", "--all")
            eventually(lambda: not first & service.workers(), "all have gone")
            load.wait(50)
        assert service.serving() == 1
        one, every = service.ask("history")["entries"][-2:]
        assert one["verb"] == every["verb"] == "restart"
        assert one["message"].startswith("replaced 1.1 with 1.3;")
        assert "replaced 1.1 with 1.3\n" in service.must("history", "-n", "2")
        ended = service.ctl("restart", "9.9")
        assert ended.returncode == 2 and "no such worker in service; the workers are 1." in ended.stderr
        ended = service.ctl("restart")
        assert ended.returncode == 2 and "`ctl upgrade` starts new code" in ended.stderr.replace("\n", " ")


def test_a_replacement_that_cannot_serve_leaves_the_worker(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=1, preload=False) as service:
        release = service.release("one")
        service.start()
        first = service.workers()
        (release / "app.py").write_text("raise RuntimeError('not today')")
        ended = service.ctl("restart", "1")
        assert ended.returncode == 4 and "not today" in ended.stderr
        assert service.workers() == first


def test_a_restart_of_all_ends_at_the_first_that_cannot_serve_and_says_what_is_left(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=3, preload=False) as service:
        release = service.release("one")
        service.start()
        first = service.workers()
        (release / "app.py").write_text("raise RuntimeError('not today')")
        ended = service.ctl("restart", "--all")
        assert ended.returncode == 4
        assert "not today; replaced none; not replaced: 1.1, 1.2, 1.3" in " ".join(ended.stderr.split())
        assert "next     remove the cause, then ctl restart --all;" in ended.stderr
        assert service.workers() == first
