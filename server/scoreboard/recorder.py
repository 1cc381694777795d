"""The recorder of a worker: samples of the requests that failed, and the last lines of its output, on the scoreboard.

For who judges its release and has to say why, also when the worker has ended. Of a request that went well nothing is
written. Each record has a place that nobody else has at that moment, so that threads need no lock: who prints in a
signal handler, or in a child right after its fork, cannot find one taken.
"""

from __future__ import annotations

import enum
import itertools
import math
import struct
import traceback
from collections.abc import Callable
from typing import NamedTuple

from releve.config.frozen import dataclass
from releve.server.shared.native import FOLDER, time

# the worker, the number of the line (from 1), CLOCK_MONOTONIC (seconds); the text follows
_LINE = struct.Struct("=QQd")
_SAMPLE = struct.Struct("=QdII")  # the worker, CLOCK_MONOTONIC (seconds), kind, status; the text follows
FRAMES, FRAMES_READ = 5, 20  # of a traceback
REQUEST_MAX = 500  # bytes of a request line
ERROR_MAX = 600  # bytes of an exception and its message
_CUT = "…".encode()


class Layout(NamedTuple):
    """How long its records are, in bytes, and how many there are: of lines, and then of samples of each kind."""

    line_bytes: int = 512
    lines: int = 32
    sample_bytes: int = 2048
    samples: int = 3

    @property
    def length(self) -> int:
        """Bytes of the recorder of one worker."""
        return self.line_bytes * self.lines + self.sample_bytes * self.samples * len(Kind)

    def usable(self, record_bytes_max: int) -> bool:
        """Whether a reader or writer of today finds its way in it."""
        ours = Layout()
        sizes = (
            ours.line_bytes <= self.line_bytes <= record_bytes_max
            and ours.sample_bytes <= self.sample_bytes <= record_bytes_max
        )
        return sizes and 0 < self.lines <= record_bytes_max and 0 < self.samples <= record_bytes_max


class Kind(enum.IntEnum):
    """How a request has failed."""

    ANSWERED = 0  # a client got a status of 500 or above
    BROKEN = 1  # the application raised when the response had begun, with another status
    ASKED = 2  # either of these, and the supervisor had asked


@dataclass(frozen=True, slots=True)
class Sample:
    """A request that failed.

    ``trace``: the last calls and the exception, empty where the application has answered so by itself.
    """

    worker: int  # its number in the generation
    when: float  # CLOCK_MONOTONIC
    kind: Kind
    status: int
    request: str  # method, target, version
    trace: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line that the application wrote, as far as there is room."""

    worker: int
    number: int
    when: float
    text: str


class Recorder:
    """In the worker: the writer."""

    def __init__(self, view: memoryview, layout: Layout, worker: int) -> None:
        self._view = view
        self._layout = layout
        self._worker = worker
        self._next = itertools.count()
        self._line = struct.Struct(f"{_LINE.format}{layout.line_bytes - _LINE.size}s")  # cuts and pads
        self._sample = struct.Struct(f"{_SAMPLE.format}{layout.sample_bytes - _SAMPLE.size}s")
        self._places = {kind: itertools.count() for kind in Kind}

    def write(self, data: bytes) -> None:
        """Keep the last ones of some lines; blank ones say nothing."""
        size, lines, *_ = self._layout
        room = size - _LINE.size
        for line in data[-size * lines :].split(b"\n")[-lines - 1 :]:
            if line and not line.isspace():
                number = next(self._next)
                text = line if len(line) <= room else _clip(line, room)
                self._line.pack_into(
                    self._view, number % lines * size, self._worker, number + 1, time.monotonic(), text
                )

    def sample(self, kind: Kind, status: int, request: str, error: BaseException | None) -> None:
        """Keep what there is to say of a request, if it is one of the first that failed so."""
        place = next(self._places[kind])
        size, samples = self._layout.sample_bytes, self._layout.samples
        if place >= samples:
            return
        at = self._layout.line_bytes * self._layout.lines + (kind * samples + place) * size
        room = size - _SAMPLE.size
        text = _clip(_encoded(request), REQUEST_MAX) + b"\n"
        if error is not None:
            text += last_lines(error, room - len(text))
        self._sample.pack_into(self._view, at, self._worker, time.monotonic(), kind, status, _clip(text, room))


def last_lines(error: BaseException, room: int) -> bytes:
    """The end of a traceback in so many bytes: the application's last calls, as there is room, and the exception."""
    ended = _clip(_encoded("".join(traceback.format_exception_only(error)).rstrip("\n")), ERROR_MAX)
    frames = traceback.extract_tb(error.__traceback__, limit=-FRAMES_READ)
    # where `start_response` refuses, ours are the last
    theirs = [frame for frame in frames if not frame.filename.startswith(FOLDER)]
    calls = [_encoded(call) for call in traceback.format_list((theirs or frames)[-FRAMES:])]
    while calls and sum(map(len, calls)) > room - len(ended):
        del calls[0]
    return b"".join(calls) + ended


def read(data: bytes, layout: Layout) -> tuple[list[Sample], list[Line]]:
    """What it has recorded, in the order of time.

    Who may write there may write anything: none of it is more than a text or a number.
    """
    size, lines, size_of_samples, samples = layout
    found: list[Line] = []
    for at in range(0, size * lines, size):
        worker, number, when = _LINE.unpack_from(data, at)
        if number and math.isfinite(when):
            found.append(Line(worker, number, when, _text(data[at + _LINE.size : at + size])))
    told: list[Sample] = []
    for place in range(samples * len(Kind)):
        at = size * lines + place * size_of_samples
        worker, when, kind, status = _SAMPLE.unpack_from(data, at)
        if status and math.isfinite(when) and kind in set(Kind):
            request, _, trace = _text(data[at + _SAMPLE.size : at + size_of_samples]).partition("\n")
            told.append(Sample(worker, when, Kind(kind), status, request, trace))
    return sorted(told, key=lambda one: one.when), sorted(found, key=lambda one: (one.when, one.number))


Keep = Callable[[bytes], None]  # `Recorder.write`


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _clip(data: bytes, room: int) -> bytes:
    return data if len(data) <= room else data[: room - len(_CUT)] + _CUT


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")
