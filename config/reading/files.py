"""A configuration file on disk: its text, and its own path, links not followed."""

from __future__ import annotations

import os
from pathlib import Path

from releve.config.errors import ConfigError, Place, Problem
from releve.config.reading.sources import logical_folder

FILE_MAX_BYTES = 1 << 20


def read_text(path: Path) -> str:
    """The text of a configuration file. Raises ConfigError."""
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ConfigError([Problem(Place(str(path)), f"cannot read the configuration: {reason}")]) from None
    if len(data) > FILE_MAX_BYTES:
        raise ConfigError(
            [Problem(Place(str(path)), f"cannot read the configuration: it is larger than {FILE_MAX_BYTES} bytes")]
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(str(path), data.count(b"\n", 0, error.start) + 1, error.start - data.rfind(b"\n", 0, error.start))
        raise ConfigError(
            [Problem(place, f"cannot read the configuration: byte 0x{data[error.start]:02x} is not UTF-8")]
        ) from None


def absolute(path: Path) -> Path:
    """``path`` made absolute with links not followed; ``..`` goes where that leads to the same file."""
    literal = logical_folder(os.environ) / path
    plain = Path(os.path.normpath(literal))
    try:
        return plain if os.path.samefile(plain, literal) else literal
    except (OSError, ValueError):  # a path with a NUL is a ValueError; reading the file says so
        return literal
