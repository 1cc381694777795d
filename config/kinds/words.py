"""Words: flags, choices, names, verbs, and text as it is written."""

from __future__ import annotations

import re
from collections.abc import Sequence

from releve.config import kernel
from releve.config.errors import nearest
from releve.config.settings.control import CONTROL_VERBS
from releve.config.settings.key import Rules

# Words that people write for "none at all"; which one a setting wants stands in its rules.
DENIALS = frozenset({"off", "no", "none", "never", "false", "disabled", "unlimited", "infinite", "inf"})
FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def parse_flag(text: str, rules: Rules) -> bool:
    """``true`` or ``false``; ``yes``, ``no``, ``on`` and ``off`` will do."""
    if text.lower() not in FLAGS:
        raise ValueError(f"expected {either(('true', 'false', *([rules['off']] if rules.get('off') else [])))}")
    return FLAGS[text.lower()]


def parse_choice(text: str, rules: Rules) -> str:
    """One of the setting's ``choices``, in lower case; the nearest is named where it is none."""
    choices: tuple[str, ...] = rules["choices"]
    if text.lower() in choices:
        return text.lower()
    if text.lower() in DENIALS and "off" in choices:
        raise ValueError("write off")
    meant = nearest(text, choices)
    raise ValueError(f"did you mean {meant!r}?" if meant else f"expected {either(choices)}")


def parse_text(text: str, rules: Rules) -> str:
    """Text as written; empty or with control characters it is refused."""
    if not text:
        raise ValueError("it is empty")
    return printable(text)


def parse_name(text: str, rules: Rules) -> str:
    """The name or number of a user or group."""
    if not re.fullmatch(r"[\w.@][\w.@$-]*", text):
        raise ValueError("expected a name or a number")
    return text


def parse_argument(text: str, rules: Rules) -> str:
    """Text for a command: several lines will do, but execve(2) carries no NUL."""
    if "\0" in text:
        raise ValueError("a command cannot contain a NUL character")
    return text


def parse_verb(text: str, rules: Rules) -> str:
    """A verb that ``ctl`` knows, by its name."""
    if text not in CONTROL_VERBS:
        meant = nearest(text, CONTROL_VERBS)
        raise ValueError(
            f"no such verb; did you mean {meant!r}?"
            if meant
            else f"no such verb; the verbs are {', '.join(CONTROL_VERBS)}"
        )
    return text


def check_variable(name: str, value: str) -> None:
    """Refuse what execve(2) cannot carry as ``name=value``. Raises ValueError."""
    if not name or "=" in name or "\0" in name:
        raise ValueError("expected the name of a variable")
    if "\0" in value:
        raise ValueError("a variable cannot contain a NUL character")
    if (reason := kernel.variable_objection(name, value)) is not None:
        raise ValueError(reason)


def either(words: Sequence[str]) -> str:
    """A list in words: ``off, release or code``."""
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def printable(text: str) -> str:
    """The text, which has no control characters. Raises ValueError."""
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise ValueError("control characters are not allowed here")
    return text
