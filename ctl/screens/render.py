"""Words for values, and the two ways to show things: aligned text, and rich on a terminal.

Everything shown comes from another process, so control characters are made visible: a name must not move the cursor.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from releve.config.legible import escaped, legible

if TYPE_CHECKING:
    from rich.console import Console

UNKNOWN = "-"
GAP = "  "
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def on_terminal(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Whether a person looks at ``stream`` through something that can move a cursor."""
    return stream.isatty() and (environ or os.environ).get("TERM", "dumb") != "dumb"


def clean(value: Any) -> str:
    """``value`` as text that is safe to show; a line break stays."""
    return legible(str(value))


def as_json(value: Any) -> str:
    """``value`` for programs, and for a terminal: what does more than show itself is escaped as JSON has it."""
    return escaped(json.dumps(value, indent=2, ensure_ascii=False), lambda found: f"\\u{ord(found[0]):04x}")


def line(value: Any) -> str:
    """``value`` as one safe line, ``-`` if there is none."""
    return UNKNOWN if value is None or value == "" else " ".join(clean(value).split())


def age(seconds: Any) -> str:
    """A duration in seconds as ``0.4s``, ``12s``, ``3m12s``, ``5h03m`` or ``12d04h``."""
    if not is_number(seconds):
        return UNKNOWN
    whole = int(seconds)
    if whole < 10:
        return f"{seconds:.1f}s"
    if whole < 60:
        return f"{whole}s"
    for size, unit, part, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // part:02d}{small}"
    return UNKNOWN


def size(count: Any) -> str:
    """A size in bytes as ``41 MiB``."""
    if not is_number(count):
        return UNKNOWN
    value = float(count)
    for unit in UNITS:
        if value < 1024 or unit == UNITS[-1]:
            return f"{value:.1f} {unit}" if value < 10 and unit in UNITS[2:] else f"{value:.0f} {unit}"
        value /= 1024
    return UNKNOWN


def count(number: Any) -> str:
    """A count, its thousands apart."""
    return f"{number:,}" if is_number(number) else UNKNOWN


def facts(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """One line for each name and value, the values aligned."""
    width = max((len(name) for name, _ in pairs), default=0)
    return [f"{name.ljust(width)}{GAP}{value}".rstrip() for name, value in pairs]


def console(stream: TextIO) -> Console:
    """A rich console that shows texts as they are (no markup, no emoji); import of rich happens here."""
    from rich.console import Console

    return Console(file=stream, markup=False, emoji=False, highlight=False, soft_wrap=False)


def say(text: str, stream: TextIO | None = None) -> None:
    """One line, at once, for progress is read through pipes; that nobody reads any more is no reason to miss the
    outcome.
    """
    stream = stream or sys.stderr
    try:
        print(text, file=stream, flush=True)
    except OSError:
        mute(stream)


def mute(stream: TextIO) -> None:
    """Let what is still written to a broken ``stream`` vanish, also what the interpreter flushes at its end."""
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, stream.fileno())
    os.close(null)


def is_number(value: Any) -> bool:
    """Whether a value of another release can be reckoned with."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
