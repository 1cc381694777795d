"""A keepsake as a supervisor would have written it, for tests in which no process of that generation runs."""

from __future__ import annotations

import dataclasses

from releve.config.settings.settings import Settings
from releve.supervisor.host.identity import Identity
from releve.supervisor.keepsake.keepsake import Held, Keepsake, Role
from releve.supervisor.release.release import Pin

PIN = Pin(
    directory="/srv/shop/current",
    resolved="/srv/shop/1",
    python="/srv/shop/1/venv/bin/python",
    binary="/usr/bin/python3",
    app="shop:app",
    environment={"SECRET": "x"},
    identity=Identity(65534, 65534, (65534,), 0o22),
    lend=False,
    python_version="3.11.2",
    prefix="/srv/shop/1/venv",
    releve="1",
    preload=None,
    revision=None,
)
HELD = Held(pid=7, born=8, receive=(1, 2, 3), send=(1, 3, 4), board=(1, 5), crash=(1, 6), sockets=((1, 7, 8), None))


def kept(**changes: object) -> Keepsake:
    """One of an active generation, changed."""
    one = Keepsake(Role.ACTIVE, 3, PIN, Settings(), (), None, None, 5, {"features": ["door"]}, 1.5, None, HELD, 12)
    return dataclasses.replace(one, **changes)  # type: ignore[arg-type]
