"""One setting of gunicorn, and how it is carried over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from releve.config.frozen import dataclass
from releve.importer.settings.draft import Draft

Carry = Callable[["Setting", Draft], None]  # writes what has become of the setting; raises ImportFailure


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of gunicorn.

    ``kind`` says how its value is read (``values.CONVERTERS``), ``action`` how its flags take one (``store``,
    ``append``, ``optional``, ``true`` or ``false``), ``key`` is ours, empty if there is none, and ``text`` what becomes
    of it or what to do instead. ``differs``: it is carried over, and whoever gave it should read the text. ``carry``
    does it, unless another setting's does.
    """

    name: str
    kind: str
    default: Any
    flags: tuple[str, ...]
    text: str
    key: str = ""
    differs: bool = False
    action: str = "store"
    carry: Carry | None = None


def carried(
    name: str,
    kind: str,
    default: Any,
    flags: str,
    key: str,
    text: str,
    *,
    differs: bool = False,
    action: str = "store",
    carry: Carry | None = None,
) -> Setting:
    """A setting that has a key of ours; ``flags`` have spaces between them."""
    return Setting(name, kind, default, tuple(flags.split()), text, key, differs, action, carry)


def without(name: str, kind: str, default: Any, flags: str, text: str, action: str = "store") -> Setting:
    """A setting that has no key of ours: ``text`` says what to do instead."""
    return Setting(name, kind, default, tuple(flags.split()), text, action=action)
