"""An entry of a log file: one line of Relève or of the application, with the lines that belong to it.

The forms are those that ``server/shared/log.py`` writes: text and JSON. What else is in the file (what a C library
wrote, access lines where they go to the same file) is an entry that says nothing of itself. The application may write
anything: no line raises.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import datetime
from typing import Any

from releve.config.frozen import dataclass

LEVELS = ("debug", "info", "warning", "error", "critical")  # from the least to the most severe
STREAMS = ("stdout", "stderr")
TRACEBACK = "Traceback (most recent call last):\n"

_TEXT = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?P<word>[A-Z]+) "
    r"(?:gen=(?P<generation>\d{1,18}) )?(?:worker=(?P<worker>\d{1,18}) )?pid=(?P<pid>\d{1,18}) (?P<message>.*)",
    re.DOTALL | re.ASCII,
)
_ACCESS = re.compile(r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a file says in one or more lines.

    ``stream`` is set for what the application wrote: then ``level`` is ``error`` if it is a traceback, else empty.
    ``time`` None, ``level`` empty: it does not say.
    """

    text: str  # as it stands in the file, without the last line break
    time: datetime | None = None
    level: str = ""  # one of LEVELS
    stream: str = ""  # one of STREAMS
    generation: int | None = None
    worker: int | None = None
    pid: int | None = None
    message: str = ""

    @property
    def tagged(self) -> bool:
        """Whether it is a message, or what the application wrote, with its process."""
        return bool(self.level or self.stream)

    def as_json(self) -> dict[str, Any]:
        """The entry for programs, by the names of ``log.format: json``; what it does not say is left out."""
        if self.text.startswith("{"):
            with suppress(ValueError, RecursionError):
                return dict(json.loads(self.text))
        named = {
            "time": None if self.time is None else self.time.isoformat(),
            "level": self.level,
            "generation": self.generation,
            "worker": self.worker,
            "pid": self.pid,
            "stream": self.stream,
            "message": self.message or self.text,
        }
        return {name: value for name, value in named.items() if value not in (None, "")}


def belongs_to_the_line_before(line: str) -> bool:
    """Whether a line goes on with an entry: a traceback is indented, and may have empty lines."""
    return not line or line.startswith((" ", "\t"))


def entry(lines: list[str], zone: str = "") -> Entry:
    """What some lines say: the first, and those that belong to it. ``zone``: of time stamps without one, as +0100."""
    text = "\n".join(lines)
    if text.startswith("{"):
        return _of_json(text)
    match = _TEXT.fullmatch(text)
    if match is None:
        return Entry(text, _access_time(text))
    word = match["word"].lower()
    return Entry(
        text,
        time=_time(f"{match['time']}{zone}"),
        level=_of_output(text) if word in STREAMS else word,
        stream=word if word in STREAMS else "",
        message=match["message"],
        **{name: int(match[name]) if match[name] else None for name in ("generation", "worker", "pid")},
    )


def _of_json(text: str) -> Entry:
    try:
        return _of_object(text, json.loads(text))
    except (ValueError, RecursionError):  # also where a value of it is nested too deep to be written as text
        return Entry(text)


def _of_object(text: str, said: dict[str, Any]) -> Entry:
    stream = str(said["stream"]) if said.get("stream") in STREAMS else ""
    level = str(said["level"]) if said.get("level") in LEVELS else ""
    trace = f"\n{said['exception']}" if said.get("exception") else ""
    return Entry(
        text,
        time=_time(str(said.get("time", ""))),
        level=_of_output(str(said.get("message"))) if stream else level,
        stream=stream,
        message=f"{said.get('message', '')}{trace}",
        **{name: _number(said.get(name)) for name in ("generation", "worker", "pid")},
    )


def _of_output(text: str) -> str:
    """The level of what the application wrote."""
    return "error" if TRACEBACK in text else ""


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return None


def _access_time(line: str) -> datetime | None:
    """The time of an access line that has ``%(t)s`` in its format."""
    found = _ACCESS.search(line)
    try:
        return datetime.strptime(found[1], "%d/%b/%Y:%H:%M:%S %z") if found else None
    except ValueError:
        return None
