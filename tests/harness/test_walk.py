"""What the walk counts, and that the names by which it finds its ways are those of the code."""

from __future__ import annotations

from pathlib import Path

from harness import walk
from releve.server.loop import threads
from releve.server.prefork.boot import Revision
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.listeners.plan import Plan
from releve.supervisor.verbs.control_server import ControlServer

ROOT = Path(__file__).parents[2]


def test_a_step_enters_another_file() -> None:
    calls = [("a.py", "f"), ("a.py", "g"), ("b.py", "h"), ("a.py", "f")]
    assert walk.steps(calls) == [("a.py", "f"), ("b.py", "h"), ("a.py", "f")]
    assert walk.steps([]) == []


def test_names_that_it_goes_by() -> None:
    file, function = walk.BEGINS
    assert (ROOT / "supervisor" / file).is_file() and hasattr(ControlServer, function)
    assert (ROOT / walk.ACCEPTOR).is_file() and hasattr(threads, "start_thread")
    assert [name for name in walk.MACHINERY if not (ROOT / name).is_file()] == []
    for kind in (Listener, Plan, Revision):
        assert walk.HOLDERS[kind.__name__] in kind.__annotations__
