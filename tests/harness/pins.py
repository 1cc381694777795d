"""A pinned release for tests in which no process of it runs."""

from __future__ import annotations

import sys

from releve.supervisor.host.identity import AS_WE_ARE
from releve.supervisor.release.release import Pin

PIN = Pin(
    directory="/srv/shop",
    resolved="/srv/shop",
    python=sys.executable,
    binary=sys.executable,
    app="shop:app",
    environment={},
    identity=AS_WE_ARE,
    lend=False,
    python_version="3.11",
    prefix="/usr",
    releve=None,
    preload=None,
    revision=None,
)
