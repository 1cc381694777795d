"""Kinds: what each kind of word may be, and from one written word to one value.

Every value arrives as text, exactly as it was written: in YAML, in a variable or on the command line. So there is one
set of rules for the three of them, and ``off``, ``0660`` or ``1.10`` mean what they look like, not what YAML 1.1 makes
of them.

A parser takes the text and the setting's rules (what its ``key`` says) and returns the value, or raises ValueError with
the reason. The parsers stand in a file for each family.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from releve.config.kinds import access_format, addresses, http, numbers, objects, paths, words
from releve.config.settings.key import Rules


def is_off(text: str, rules: Rules) -> bool:
    """Whether a text is the setting's own word for None (``off``, ``auto``, ``unlimited``)."""
    return "off" in rules and text.lower() == rules["off"]


def convert(kind: str, text: str, rules: Rules) -> Any:
    """The value of ``text`` for a setting of this kind.

    None is what the setting's own word for it (``off``, ``auto``, ``unlimited``)
    stands for. Raises ValueError with the reason.
    """
    if is_off(text, rules):
        return None
    if text.lower() in words.DENIALS:
        word = rules.get("off")
        if word in words.DENIALS:
            raise ValueError(f"write {word}")
        if kind in ("duration", "size", "count", "share"):
            raise ValueError("it cannot be off")
    return PARSERS[kind](text, rules)


PARSERS: dict[str, Callable[[str, Rules], Any]] = {
    "duration": numbers.parse_duration,
    "size": numbers.parse_size,
    "count": numbers.parse_count,
    "workers": numbers.parse_workers,
    "share": numbers.parse_share,
    "mode": numbers.parse_mode,
    "flag": words.parse_flag,
    "choice": words.parse_choice,
    "text": words.parse_text,
    "name": words.parse_name,
    "app": objects.parse_app,
    "module": objects.parse_module,
    "function": objects.parse_function,
    "argument": words.parse_argument,
    "network": addresses.parse_network,
    "verb": words.parse_verb,
    "target": http.parse_target,
    "host": http.parse_host,
    "access_format": access_format.parse_access_format,
    "statuses": http.parse_statuses,
    "path": paths.parse_path,
    "log": paths.parse_log,
    "python": paths.parse_python,
}
