"""How one setting is described: its kind, its default, and the sentence that references and manuals print."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from typing import Any

Rules = Mapping[str, Any]  # what a setting's `key` says of it, by the names of its arguments


def key(default: Any, kind: str, text: str, **more: Any) -> Any:
    """Describe one setting.

    ``kind`` says how it is written: the parser of one word in ``kinds/kinds.py`` (``duration``, ``size``, ``count``,
    ``path``, ``choice``, …), or a reader of a list or a block in ``reading/readers.py`` (``listen``, ``check``,
    ``mounts``, …). ``more`` may hold ``choices``, ``minimum``, ``maximum``, ``off`` (the word for ``None``),
    ``required``, ``upgrade`` (a reload cannot apply it, an upgrade can), ``restart`` (only a new supervisor can),
    ``start`` (it counts at the next start of the service, and only there) and ``supervisor`` (nothing to the release,
    which need not know it).
    """
    metadata = {"kind": kind, "help": text, **more}
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def block(default: Any, text: str) -> Any:
    """Describe a block of settings; ``default`` is one whose settings all have theirs."""
    return key(default, "group", text)


def settings_of(block: type[Any]) -> list[dataclasses.Field[Any]]:
    """The fields of a block, or of the top level, that are settings."""
    return [field for field in dataclasses.fields(block) if "kind" in field.metadata]


def key_of(field: dataclasses.Field[Any]) -> str:
    """The key of a field as it is written: one that is a word of Python has a ``_`` more here."""
    return field.name.removesuffix("_")
