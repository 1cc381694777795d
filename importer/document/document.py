"""YAML with comments: from dotted keys to text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from releve.config.frozen import dataclass
from releve.config.settings.settings import GROUPS

WIDTH = 110
_COMMENT_AT = 36
_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+:()-]*")  # means itself to YAML, whatever its version
_NULLS = {"", "~", "null", "Null", "NULL"}


@dataclass(frozen=True, slots=True)
class Entry:
    """The value of one key (text, a list, or a block) and a comment, where it comes from."""

    value: Any
    comment: str = ""


def render(head: Sequence[str], entries: Mapping[str, Entry], tail: Sequence[str]) -> str:
    """The document: paragraphs of comment, the keys, and more paragraphs of comment."""
    lines = [line for paragraph in head for line in comment(paragraph)] + [""]
    lines += _keys(entries)
    if tail:
        lines += ["", *(line for paragraph in tail for line in comment(paragraph))]
    return "\n".join(lines) + "\n"


def comment(paragraph: str) -> Iterator[str]:
    """A paragraph as lines of comment."""
    text = "".join(character if character.isprintable() else "?" for character in paragraph)
    yield from textwrap.wrap(
        text, WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False, break_on_hyphens=False
    )


def word(text: str) -> str:
    """Text as YAML has it: bare where that is safe, else in double quotes. Raises ValueError."""
    if _PLAIN.fullmatch(text) and text not in _NULLS and not text.endswith(":"):
        return text
    if re.search("[\ud800-\udfff]", text):
        raise ValueError("it has bytes that are not UTF-8")
    return (
        '"'
        + "".join(
            character if character.isprintable() and character not in '"\\' else _escaped(character)
            for character in text
        )
        + '"'
    )


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 1 << 8 else f"\\u{number:04x}" if number < 1 << 16 else f"\\U{number:08x}"


def _keys(entries: Mapping[str, Entry]) -> Iterator[str]:
    """Top-level keys first, in their order, then the blocks."""
    for key, entry in entries.items():
        if key.partition(".")[0] not in GROUPS:
            yield from _entry(key, entry, "")
    for group in GROUPS:
        members = [(key.partition(".")[2], entry) for key, entry in entries.items() if key.partition(".")[0] == group]
        if members:
            yield f"{group}:"
        for key, entry in members:
            yield from _entry(key, entry, "  ")


def _entry(key: str, entry: Entry, indent: str) -> Iterator[str]:
    value = entry.value
    if isinstance(value, Mapping):
        yield _remarked(f"{indent}{key}:", entry.comment)
        for name, text in value.items():
            yield f"{indent}  {word(name)}: {_flow(text)}"
    elif isinstance(value, list) and len(value) > 1:
        yield _remarked(f"{indent}{key}:", entry.comment)
        for item in value:
            yield f"{indent}  - {_flow(item)}"
    else:
        only = value[0] if isinstance(value, list) and value else value
        yield _remarked(f"{indent}{key}: {_flow(only)}", entry.comment)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {word(str(text))}" for name, text in value.items()) + "}"
    return word(str(value))


def _remarked(line: str, remark: str) -> str:
    return f"{line.ljust(_COMMENT_AT - 1)} # {remark}" if remark else line
