"""Releases that are pinned: one for tests in which no process of it runs, and real ones."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from releve.config.settings.settings import Settings
from releve.supervisor.host.identity import AS_WE_ARE
from releve.supervisor.release.errors import ReleaseError
from releve.supervisor.release.release import Pin, pin

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


def pinned(directory: Path | str, **more: str | None) -> Pin:
    """The release in a directory, with its interpreter looked at; ``more``: settings. Raises ReleaseError."""
    settings = Settings(app="app:application", directory=str(directory), **more)  # type: ignore[arg-type]
    return asyncio.run(pin(settings, os.environ))


def refused(directory: Path | str, **more: str) -> tuple[str, str]:
    """Step and reason, where there is none."""
    with pytest.raises(ReleaseError) as caught:
        pinned(directory, **more)
    return caught.value.step, str(caught.value)
