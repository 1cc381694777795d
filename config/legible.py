"""Legible: a text of somebody else's, safe for a log and a terminal. Pure.

An exception's message may hold anything: escape sequences that move the cursor or retitle a window, line breaks that
begin what looks like another line of the log, marks that reverse the writing direction (Trojan Source, CVE-2021-42574),
halves of characters that cannot be encoded. Each is shown as what it is: ``\\x1b``, ``\\u202e``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

TEXT_MAX = 16 * 1024  # characters of a line; more is nothing that anybody reads
TRACE_MAX = 64 * 1024
INDENT = "  "  # before what follows a line of the log: nothing of ours begins like that

# All but tab and line feed: C0, DEL and C1 controls; marks and overrides of direction; line and paragraph separators;
# surrogates.
_HAZARD = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
_BREAKS = str.maketrans({"\n": "\\n", "\r": "\\r"})


def legible(text: str) -> str:
    """The text with everything that does more than show itself escaped; line feeds and tabs stay."""
    return escaped(text, _escape)


def escaped(text: str, escape: Callable[[re.Match[str]], str]) -> str:
    """The text with each character that does more than show itself written as ``escape`` has it.

    Its pattern takes 0.5 ms to compile, and nearly every text is printable, which excludes all of it.
    """
    return text if text.isprintable() else re.sub(_HAZARD, escape, text)


def one_line(text: str) -> str:
    """The same on one line, and no longer than anybody reads."""
    cut = len(text) - TEXT_MAX
    return legible((text if cut <= 0 else f"{text[:TEXT_MAX]}… ({cut} more characters)").translate(_BREAKS))


def lines(text: str) -> str:
    """A traceback: its lines stay lines, and are indented, so that none passes for an entry.

    Of a long one the end, which says most.
    """
    shown = text if len(text) <= TRACE_MAX else "…" + text[-TRACE_MAX:]
    return "\n".join(INDENT + line if line else line for line in legible(shown.replace("\r\n", "\n")).split("\n"))


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
