"""What a gunicorn would serve with, as values: each setting, and where it was said."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from releve.config.frozen import dataclass

DEFAULT = "gunicorn's default"


@dataclass(frozen=True, slots=True)
class Value:
    """The value of one setting, and where it comes from, in words."""

    value: Any
    origin: str = DEFAULT

    @property
    def given(self) -> bool:
        """Whether somebody said so: the file, a flag or a variable."""
        return self.origin != DEFAULT


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that a gunicorn would serve with.

    ``folder`` is where it is started, ``app`` the application named on its command line, ``python`` the interpreter it
    runs on where that is known. ``environment`` is what the file sets in ``os.environ``; ``notes`` are remarks on the
    file.
    """

    values: Mapping[str, Value]
    folder: str
    app: str | None = None
    python: str | None = None
    file: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.values[name].value

    @property
    def directory(self) -> str:
        """The folder that it serves from, which relative paths start in."""
        return self.path(".")

    def path(self, path: str) -> str:
        """A path as gunicorn takes it, made absolute."""
        return os.path.normpath(os.path.join(self.folder, self["chdir"], path))
