"""Services whose processes run some lines of a test first; and one whose supervisor is missed soon."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.service import Service, serving

SHORT_SILENCE_S = 3.0
SHORT_DOUBT_S = 3.0

CUSTOM = """
import sys
if sys.orig_argv[1:3] == ["-m", "releve"]:
    {supervisor}
elif "releve.server" in sys.orig_argv or "releve.supervisor.sentry" in sys.orig_argv:
    {others}
"""


def customize(service: Service, supervisor: str = "pass", others: str = "pass") -> None:
    """Have a service that is not started yet run these lines first: in its supervisor; in its masters, and its
    sentry.
    """
    folder = service.root / "customized"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CUSTOM.format(supervisor=supervisor, others=others))
    service.environment["PYTHONPATH"] = str(folder)


@contextlib.contextmanager
def impatiently(root: Path, **settings: Any) -> Iterator[Service]:
    """A service whose first supervisor is missed after a few seconds instead of twenty, should it hang."""
    with serving(root, start=False, **settings) as service:
        silence = f"supervisor.SILENCE_S, supervisor.ASSURE_EVERY_S = {SHORT_SILENCE_S}, 0.5"
        doubt = f"from releve.server.shared import revive; revive.DOUBT_S = {SHORT_DOUBT_S}"
        customize(service, f"from releve.supervisor import supervisor; {silence}", doubt)
        service.start()
        yield service
