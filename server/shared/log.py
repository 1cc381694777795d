"""Relève's own log lines, the same in supervisor, master and worker: one line per record, one write(2) per line.

``2026-11-23 21:38:31 INFO gen=8 worker=2 pid=812 ready``, or one JSON object, or an entry of systemd's journal.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from releve.config.legible import legible, lines, one_line
from releve.config.settings.log import Log
from releve.server.shared import system
from releve.server.shared.journal import Journal, leads_there
from releve.server.shared.lost_lines import lost, lost_words
from releve.server.shared.native import RLock, os, time

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # syslog(3), for the journal
NAMES = {"gen": "generation", "worker": "worker", "pid": "pid"}  # of a tag's parts, in JSON and the journal
ROOT = "releve"
IDENTIFIER = "releve"  # SYSLOG_IDENTIFIER in the journal
STANDARD_ERROR = 2
SLOW_S = 1.0  # how long a reader that does not read may hold a process up, once


@dataclass(frozen=True, slots=True)
class Entry:
    """One line.

    ``who`` is its tag (``gen=8 worker=2 pid=812``); ``stream`` is set for what the application wrote itself, which may
    be several lines of one write.
    """

    level: str  # one of PRIORITIES
    who: str
    message: str
    process: str = ""  # supervisor, master or worker
    release: str = ""  # its folder
    trace: str = ""  # traceback or stack, of several lines
    stream: str = ""  # stdout or stderr
    source: tuple[str, int, str] | None = None  # file, line, function
    created: float = field(default_factory=time.time)  # seconds since the epoch


# The forms


def text(entry: Entry) -> bytes:
    """The line for people.

    What does more than show itself is escaped (``legible.py``); a traceback follows, indented.
    """
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.created))
    return _bytes(f"{clock} {_word(entry)} {entry.who} {_one_line(entry)}\n{_ended(entry.trace)}")


def as_json(entry: Entry) -> bytes:
    """One JSON object, ASCII only; what an entry has not is left out."""
    return json.dumps(_json(entry)).encode() + b"\n"


def prioritized(entry: Entry) -> bytes:
    """For a stream to the journal (sd-daemon(3)): the level as ``<N>`` before each line; the journal knows the time."""
    whole = f"{entry.who} {_one_line(entry)}\n{_ended(entry.trace)}".removesuffix("\n")
    return _bytes("".join(f"<{PRIORITIES.get(entry.level, 6)}>{line}\n" for line in whole.split("\n")))


def fields(entry: Entry) -> dict[str, object]:
    """For the journal's native protocol."""
    parts = _parts(entry.who)
    tag = "".join(f"{name}={value} " for name, value in parts.items() if name != "pid")
    # what the application wrote stays as it is
    message = entry.message if entry.stream else f"{tag}{legible(entry.message)}"
    found: dict[str, object] = {
        "MESSAGE": f"{message}\n{lines(entry.trace)}" if entry.trace else message,
        "PRIORITY": PRIORITIES.get(entry.level, 6),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "PROCESS": entry.process,
        "GENERATION": parts.get("gen", ""),
        "WORKER": parts.get("worker", ""),
        "RELEASE": entry.release,
        "STREAM": entry.stream,
    }
    if entry.source is not None:
        found |= zip(("CODE_FILE", "CODE_LINE", "CODE_FUNC"), entry.source, strict=True)
    return _said(found)


def _json(entry: Entry) -> dict[str, Any]:
    moment = time.localtime(entry.created)
    zone = time.strftime("%z", moment)
    clock = f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{int(entry.created % 1 * 1000):03}{zone[:3]}:{zone[3:]}"
    tag = {NAMES[name]: int(value) for name, value in _parts(entry.who).items() if name in NAMES and value.isdigit()}
    head = {
        "time": clock,
        "level": entry.level,
        "process": entry.process,
        **tag,
        "release": entry.release,
        "stream": entry.stream,
    }
    tail = {"exception": entry.trace}
    return {**_said(head), "message": entry.message, **_said(tail)}


def _said(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value != ""}


def _parts(who: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in who.split() if "=" in part)


def _word(entry: Entry) -> str:
    return (entry.stream or entry.level).upper()


def _one_line(entry: Entry) -> str:
    """Of the application's own lines, those after the first are indented, so that a reader sees what they belong to."""
    return entry.message.replace("\n", "\n  ") if entry.stream else one_line(entry.message)


def _ended(trace: str) -> str:
    return f"{lines(trace)}\n" if trace else ""


def _bytes(line: str) -> bytes:
    return line.encode("utf-8", "backslashreplace")


# Where they go


class Sink:
    """Where lines go: a descriptor, in a form; or the journal, if that is what the descriptor leads to and the form is
    ``auto``.
    """

    def __init__(
        self, fd: int, form: str, environ: Mapping[str, str] = os.environ, journal: Journal | None = None
    ) -> None:
        """``form`` is ``auto``, ``text`` or ``json``; another (a newer supervisor's) counts as ``auto``.

        ``fd`` is not owned.
        """
        self.fd = fd
        self._render: Callable[[Entry], bytes] = as_json if form == "json" else text
        self._journal: Journal | None = None
        self._lost = 0  # lines, since writing last succeeded
        self._ragged = False  # what was written last is the beginning of a line
        if form not in ("text", "json") and leads_there(fd, environ):
            self._journal, self._render = journal or _JOURNAL, prioritized

    def write(self, *entries: Entry) -> None:
        """Write some lines, together if that can be.

        Never raises: a log that cannot be written costs lines, nothing else.
        """
        if self._journal is not None:
            entries = tuple(entry for entry in entries if not self._journal.send(fields(entry)))
        if entries:
            self.put(b"".join(map(self._render, entries)))

    def put(self, data: bytes) -> None:
        """Write as it is; else as ``write``."""
        notice, before = b"", self._lost
        if before:
            told = Entry("warning", f"pid={os.getpid()}", f"{lost_words(self._lost)}: the log could not be written")
            notice = b"\n" * self._ragged + self._render(told)
        taken = system.write_lines(self.fd, notice + data, 0.0 if self._lost else SLOW_S)
        if taken >= len(notice):
            self._lost = data.count(b"\n", max(0, taken - len(notice)))
            self._ragged = (
                taken > len(notice) and data[taken - len(notice) - 1 : taken - len(notice)] != b"\n" and self._lost > 0
            )
        else:
            self._lost += data.count(b"\n")
            self._ragged = self._ragged or taken > 0
        if self._lost != before:
            lost.note(self, self._lost)

    def retry(self) -> None:
        """Say how many lines were lost, if any were and it can be said by now."""
        if self._lost:
            self.put(b"")


class Handler(logging.Handler):
    """Sends records to a sink, tagged by ``tag``."""

    def __init__(self, sink: Sink, tag: Callable[[logging.LogRecord], str], release: str = "") -> None:
        super().__init__()
        self.sink = sink
        self._tag = tag
        self._release = release
        self._traces = logging.Formatter()

    def createLock(self) -> None:  # the name is logging's
        """Have a lock of the system: `logging` takes what `threading` has by then."""
        self.lock = RLock()
        # As its own does: a child finds it free.
        logging._register_at_fork_reinit_lock(self)  # type: ignore[attr-defined]

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            self.sink.write(
                Entry(
                    record.levelname.lower(),
                    self._tag(record),
                    record.getMessage(),
                    process=record.name.partition(".")[2] or "supervisor",  # asyncio speaks there
                    release=getattr(record, "release", self._release),
                    trace=self._trace(record),
                    source=(record.pathname, record.lineno, record.funcName),
                    created=record.created,
                )
            )
        except Exception:  # an argument that cannot be formatted
            self.handleError(record)

    def _trace(self, record: logging.LogRecord) -> str:
        trace = (
            self._traces.formatException(record.exc_info) if record.exc_info and record.exc_info[0] is not None else ""
        )
        return "\n".join(part for part in (trace, record.stack_info) if part)


@dataclass(frozen=True, slots=True)
class Who:
    """Whose lines these are: a master's (``worker`` None) or a worker's; ``release`` is its folder."""

    generation: int
    worker: int | None = None
    release: str = ""

    @property
    def process(self) -> str:
        """``master`` or ``worker``."""
        return "master" if self.worker is None else "worker"

    def tag(self) -> str:
        """With the pid of whoever writes, which may be a child that the application forked."""
        return (
            f"gen={self.generation} pid={os.getpid()}"
            if self.worker is None
            else (f"gen={self.generation} worker={self.worker} pid={os.getpid()}")
        )


def setup(settings: Log, who: Who) -> None:
    """Send what ``releve`` and its children log to standard error, replacing an earlier setup.

    The application's own logging (the root logger) is left alone. A level that is not in
    ``LEVELS`` (a newer supervisor's) counts as ``info``.
    """
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [Handler(Sink(STANDARD_ERROR, settings.format), lambda record: who.tag(), who.release)]
    logger.setLevel(LEVELS.get(settings.level, logging.INFO))
    logger.propagate = False
    revive()


def revive() -> None:
    """Undo what an application's logging configuration did to our loggers.

    ``logging.config.dictConfig`` and ``fileConfig`` disable every logger that exists
    already unless told otherwise (``disable_existing_loggers``), ours among them.
    gevent gives locks of its own to every handler that there is.
    """
    for handler in logging.getLogger(ROOT).handlers:
        if not isinstance(handler.lock, RLock):  # else another thread may hold it
            handler.createLock()
    for name, logger in logging.Logger.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and (name == ROOT or name.startswith(ROOT + ".")):
            logger.disabled = False


_JOURNAL = Journal()
