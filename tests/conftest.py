"""For all tests: a drawn example may take its time.

Hypothesis gives it 200 ms, which a busy machine exceeds for no fault of ours.

And signals do what they do by default: a shell that starts `make test` in the background of a script has it ignore
SIGINT and SIGQUIT, which everything that we start would inherit.

And what every process of pytest-xdist does again costs little: the tests are compiled once, and nine thousand of them
are no garbage that is looked through at every collection (a twentieth, and a tenth, of the time of the small ones).

And `make test` deals them out so that the processors have work at every moment: ``harness/dealing.py``.
"""

from __future__ import annotations

import gc
import signal
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from harness import dealing

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) == signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)

sys.dont_write_bytecode = False  # where PYTHONDONTWRITEBYTECODE is set; what the tests start has it still
settings.register_profile("busy", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return dealing.scheduler(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: dealing.turn(item.nodeid))


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.collect()
    gc.freeze()
