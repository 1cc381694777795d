"""What a terminal shows of what a command writes, and a picture (SVG) of that."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

TOKEN = re.compile(r"\x1b\[(?P<told>[0-9;?]*)(?P<what>[A-Za-z])|(?P<sign>[^\x1b])")
BLANK = (" ", "")

LIGHT = TerminalTheme(
    (246, 248, 250),
    (31, 35, 40),
    [
        (36, 41, 47),
        (179, 29, 40),
        (17, 99, 41),
        (138, 90, 0),
        (9, 80, 174),
        (112, 49, 165),
        (10, 105, 118),
        (89, 96, 106),
    ],
)
DARK = TerminalTheme(
    (20, 24, 31),
    (222, 226, 232),
    [
        (72, 79, 88),
        (255, 123, 114),
        (86, 211, 100),
        (227, 179, 65),
        (121, 192, 255),
        (210, 168, 255),
        (86, 212, 221),
        (222, 226, 232),
    ],
)
THEMES = {"light": LIGHT, "dark": DARK}

# as rich has it, without its web fonts: a page loads nothing from elsewhere
FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
    font-size: {char_height}px;
    line-height: {line_height}px;
    font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class Screen:
    """What a terminal of a width shows: signs with the codes (SGR) that were in force, and a cursor.

    It knows what rich writes: colors, and the cursor's moves over lines that are drawn again.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows: list[list[tuple[str, str]]] = [[]]
        self.row = self.column = 0
        self.codes = ""

    def feed(self, text: str) -> None:
        """Take what a command wrote."""
        for found in TOKEN.finditer(text):
            if found["sign"]:
                self._sign(found["sign"])
            else:
                self._move(found["told"], found["what"])

    def _sign(self, sign: str) -> None:
        if sign == "\n":
            self._to(self.row + 1, self.column)
        elif sign == "\r":
            self.column = 0
        elif sign >= " ":
            if self.column == self.width:
                self._to(self.row + 1, 0)
            line = self.rows[self.row]
            line += [BLANK] * (self.column + 1 - len(line))
            line[self.column] = (sign, self.codes)
            self.column += 1

    def _move(self, told: str, what: str) -> None:
        if what == "m":
            self.codes = "" if told in ("", "0") else f"{self.codes}\x1b[{told}m"
        elif what == "A":
            self.row = max(0, self.row - int(told or 1))
        elif what == "H":
            self._to(0, 0)
        elif what == "K":
            self.rows[self.row] = []
        elif what == "J" or (what in "hl" and told == "?1049"):
            self.rows, self.row, self.column = [[]], 0, 0

    def _to(self, row: int, column: int) -> None:
        self.row, self.column = row, column
        self.rows += [[] for _ in range(row + 1 - len(self.rows))]

    def lines(self) -> list[Text]:
        """The lines as rich draws them, without the empty ones at the end."""
        found = [
            Text.from_ansi("".join(f"\x1b[0m{codes}{''.join(sign for sign, _ in part)}" for codes, part in parts))
            for parts in (groupby(row, key=lambda cell: cell[1]) for row in self.rows)
        ]
        for line in found:
            line.rstrip()
        while found and not found[-1]:
            found.pop()
        return found


def draw(typed: str, lines: Sequence[Text], width: int, theme: str, path: Path) -> None:
    """Draw a command and what it shows into a file; at least as many lines as a short screen has."""
    with open(os.devnull, "w") as nowhere:
        console = Console(
            file=nowhere, record=True, width=width, force_terminal=True, color_system="truecolor", legacy_windows=False
        )
        console.print(Text.assemble(("$ ", "dim"), (typed, "bold")))
        for line in lines:
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
        svg = console.export_svg(title="", theme=THEMES[theme], code_format=FORMAT, unique_id=path.stem)
    path.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", "utf-8")
