"""Configurations as text: written into a folder and read, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from releve.config.errors import ConfigError
from releve.config.reading.load import load
from releve.config.settings.settings import Settings


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "releve.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def loaded(folder: Path, text: str) -> Settings:
    return load(written(folder, text)).settings


def refused(folder: Path, text: str | bytes) -> list[str]:
    """The problems of a file, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(written(folder, text))
    return str(caught.value).replace(f"{folder}/", "").split("\n")
