"""Lines of a screen: pieces of text with a style, wrapped to a width, and shown plain or on a terminal.

A width is in characters; None: the output is piped, and nothing is wrapped or left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from releve.config.frozen import dataclass
from releve.ctl.screens import render

LEAST = 20  # characters that a wrapped text gets, however narrow the terminal


@dataclass(frozen=True, slots=True)
class Piece:
    """A text without line breaks, and a style as rich names it."""

    text: str
    style: str = ""


Line = tuple[Piece, ...]


def wrap(text: str, width: int | None, style: str = "", first: str = "") -> list[Line]:
    """A text over as many lines as it takes, each of what stands before it and a part of it.

    ``first`` stands before the first of them, as many spaces before the others. No word is cut: a path is to be copied.
    """
    rest = " " * len(first)
    room = None if width is None else max(LEAST, width - len(first))
    parts = [text] if room is None or len(text) <= room else _parts(text, room)
    return [(Piece(first if not number else rest), Piece(part, style)) for number, part in enumerate(parts)]


def _parts(text: str, room: int) -> list[str]:
    import textwrap  # few outputs are wider than a terminal

    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]


def fact_lines(
    pairs: Sequence[tuple[str, str]], width: int | None, indent: str, alarms: Iterable[str] = ()
) -> list[Line]:
    """A name and its value each, the values aligned; those whose name is in ``alarms`` are red."""
    longest = max((len(name) for name, _ in pairs), default=0)
    lines: list[Line] = []
    for name, value in pairs:
        style = "bold red" if name in alarms else ""
        first, *more = wrap(value, width, style, " " * (len(indent) + longest + len(render.GAP)))
        lines += [(Piece(f"{indent}{name.ljust(longest)}{render.GAP}", "dim"), first[1]), *more]
    return lines


def text_of(line: Line) -> str:
    """What a line says, without styles."""
    return "".join(piece.text for piece in line).rstrip()


def show_plain(lines: Iterable[Line], stream: TextIO) -> None:
    """Print lines as text alone."""
    print("\n".join(map(text_of, lines)), file=stream)


def show_rich(lines: Iterable[Line], stream: TextIO) -> None:
    """Print lines in their styles."""
    from rich.text import Text

    console = render.console(stream)
    for line in lines:
        text = Text.assemble(*((piece.text, piece.style) for piece in line))
        text.rstrip()
        console.print(text, soft_wrap=True)
