"""The history: every attempt to change what runs, and its outcome.

Append-only JSON lines in ``history.jsonl`` of the state directory: one line when
an attempt begins, written and synced before anything is touched, and one when it
ends. An attempt that is found without an end was cut short (a power cut, a
killed supervisor); the next supervisor writes the outcome ``interrupted``.

Trouble with the disk refuses an upgrade but never holds up a rescue (a rollback,
a stop): its lines wait in memory (``pending``) until they can be written.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import time
from pathlib import Path
from typing import Any

from releve.instance import directories, instances, paths

FILE_NAME = "history.jsonl"
KEPT = 1000  # attempts
CRASHES_KEPT = 5  # of one attempt
CRASHES_WRITTEN = 10  # of one attempt, before they are written ever more rarely
SLACK = 100  # attempts more, before the file is written anew

Record = dict[str, Any]


class HistoryError(Exception):
    """An attempt cannot be recorded, so it must not begin."""


class History:
    """The attempts of one service. The only writer of its file.

    An attempt is a dictionary: ``id`` (int, increasing), ``began`` (UTC, ISO 8601),
    what ``begin`` was given, and after its end ``outcome``, ``ended``, ``seconds`` and
    what ``finish`` was given. Until then its ``outcome`` is None.
    """

    def __init__(self, directory: Path | str, going_on: tuple[int, float] | None = None) -> None:
        """Read what is there. Never raises: what cannot be read or written is ``trouble``.

        ``going_on``: the attempt that this process is in the middle of, and when it began (monotonic).
        """
        self.path = os.path.join(directory, FILE_NAME)
        self.trouble: str | None = None
        self._directory = Path(directory)
        self._attempts: dict[int, Record] = {}
        self._started: dict[int, tuple[float, bool]] = {}  # monotonic, rescue
        self._queue: list[bytes] = []
        self._torn = False
        self._crashes: dict[int, int] = {}  # of the generation that each attempt has brought
        self._reserved = 0  # the last number that was given out
        try:
            directories.prepare(self._directory, os.geteuid())
            self._refuse_planted()
            self._read()
        except (instances.InstanceError, OSError) as error:
            self.trouble = _reason(error)
        if going_on is not None:
            self._started[going_on[0]] = (going_on[1], True)
            self._reserved = going_on[0]  # its line may wait for the disk yet
        for number, attempt in list(self._attempts.items()):
            if attempt["outcome"] is None and number not in self._started:
                self._close(number, {"outcome": "interrupted", "ended": _now(), "seconds": None})
        if self._queue:
            self.flush()
        if len(self._attempts) > KEPT + SLACK:
            self._rewrite()

    @property
    def pending(self) -> int:
        """Lines that wait for the disk."""
        return len(self._queue)

    def reserve(self) -> int:
        """The number of an attempt that is about to begin: no other one gets it, whether it is recorded or not."""
        self._reserved = max(self._reserved, max(self._attempts, default=0)) + 1
        return self._reserved

    def begin(self, entry: Record, rescue: bool = False, number: int | None = None) -> int:
        """Record that an attempt begins; returns its id: ``number``, if that was reserved for it.

        The line is on the disk when this returns. Raises HistoryError if it cannot
        be written, and then nothing is recorded. With ``rescue`` it never raises and
        waits for no disk.
        """
        number = self.reserve() if number is None else number
        record = {"event": "begin", "id": number, "began": _now(), **entry}
        self._queue.append(_line(record))
        if not self.flush(sync=not rescue) and not rescue:
            self._queue.pop()
            raise HistoryError(
                f"cannot record the {entry.get('verb', 'upgrade')}: {self.trouble}; nothing was "
                f"changed, and what runs keeps running. Free space in {self._directory} or make it writable, then try "
                "again"
            )
        self._merge(record)
        self._started[number] = (time.monotonic(), rescue)
        if len(self._attempts) > KEPT + SLACK and not rescue:
            self._rewrite()
        return number

    def note(self, number: int, **values: Any) -> None:
        """Add to an attempt that is under way what is known by now. Never raises, and waits for no disk."""
        attempt = self._attempts.get(number)
        if attempt is not None and attempt["outcome"] is None:
            record = {"event": "note", "id": number, **values}
            self._merge(record)
            self._queue.append(_line(record))
            self.flush(sync=False)

    def crashed(self, generation: int, crash: Record) -> None:
        """Add a crash to the attempt that brought its generation into service, or is about to.

        Never raises, and waits for no disk.

        The first ones are kept, and then as many again each time that their number has doubled: workers may crash for
        days.
        """
        number = self._brought_by(generation)
        if number is None:
            return
        count = self._crashes[number] = (self._crashes.get(number) or _count(self._attempts[number].get("crashed"))) + 1
        if count <= CRASHES_WRITTEN or count & (count - 1) == 0:
            record = {"event": "crash", "id": number, "crashed": count, "crash": crash}
            self._merge(record)
            self._queue.append(_line(record))
            self.flush(sync=False)

    def crashes(self, generation: int) -> list[Any]:
        """The last ones of a generation that are kept, as ``crashed`` was given them."""
        number = self._brought_by(generation)
        kept = None if number is None else self._attempts[number].get("crashes")
        return list(kept) if isinstance(kept, list) else []

    def _brought_by(self, generation: int) -> int | None:
        """The attempt by which a generation of this life of the service came, or may come, to serve."""
        under_way: int | None = None
        adopted: int | None = None
        for number in sorted(self._attempts, reverse=True):
            attempt = self._attempts[number]
            if attempt["outcome"] is None:
                under_way = number if under_way is None else under_way
            elif _brought(attempt) == generation:
                # which found it in service, unless it settled what an upgrade had left
                if attempt.get("verb") != "adopt":
                    return number
                adopted = number
            if attempt.get("verb") == "start":  # what was before it had the same numbers
                break
        return under_way if adopted is None else adopted

    def finish(self, number: int, outcome: str, **evidence: Any) -> None:
        """Record the outcome of an attempt. Never raises; a line that cannot be written is ``pending``.

        Finishing an attempt that is unknown or has an outcome changes nothing.
        """
        attempt = self._attempts.get(number)
        if attempt is None or attempt["outcome"] is not None:
            return
        started, rescue = self._started.pop(number, (None, True))
        seconds = None if started is None else round(time.monotonic() - started, 3)
        self._close(number, {"outcome": outcome, "ended": _now(), "seconds": seconds, **evidence})
        self.flush(sync=not rescue)

    def entries(self, limit: int | None = None) -> list[Record]:
        """The last attempts, newest last; copies."""
        attempts = [dict(self._attempts[number]) for number in sorted(self._attempts)]
        return attempts if limit is None else attempts[max(0, len(attempts) - limit) :]

    def flush(self, sync: bool = True) -> bool:
        """Write what is pending; False if it still cannot be written (``trouble`` says why).

        All or nothing: a line that the disk took in part is cut off again.
        """
        if not self._queue:
            return True
        try:
            directories.prepare(self._directory, os.geteuid())
            self._refuse_planted()
            self._append((b"\n" if self._torn else b"") + b"".join(self._queue), sync)
        except (instances.InstanceError, OSError) as error:
            self.trouble = _reason(error)
            return False
        self._queue.clear()
        self._torn = False
        self.trouble = None
        return True

    def _refuse_planted(self) -> None:
        """Raises InstanceError for a file that somebody else has put there, and that would be read or written
        as ours.
        """
        reason = directories.planted(self.path, os.geteuid(), links=True)
        if reason is not None:
            raise instances.InstanceError(
                f"cannot use {self._directory}: {reason}; check who can write there, and remove it"
            )

    def _append(self, data: bytes, sync: bool) -> None:
        created = not os.path.lexists(self.path)
        fd = paths.open_file(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            size = os.fstat(fd).st_size
            try:
                _write(fd, data)
                if sync:
                    os.fsync(fd)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(fd, size)
                raise
        finally:
            os.close(fd)
        if created and sync:
            _sync_directory(self._directory)

    def _close(self, number: int, ending: Record) -> None:
        record = {"event": "end", "id": number, **ending}
        self._merge(record)
        self._queue.append(_line(record))

    def _read(self) -> None:
        """Take in the file line by line; what is not one of our records is skipped."""
        if not os.path.isfile(self.path):  # also a device, which might be read for ever
            return
        with open(paths.open_regular(self.path), "rb") as file:
            data = file.read()
        self._torn = bool(data) and not data.endswith(b"\n")
        for line in data.splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                self._merge(json.loads(line))

    def _merge(self, record: Any) -> None:
        number = record.get("id") if isinstance(record, dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            return
        values = {key: value for key, value in record.items() if key != "event"}
        if record.get("event") == "begin" and number not in self._attempts:
            self._attempts[number] = {**values, "outcome": None}
        elif number in self._attempts and record.get("event") == "crash":
            attempt = self._attempts[number]
            before = attempt.get("crashes")
            kept = [*(before if isinstance(before, list) else []), record.get("crash")][-CRASHES_KEPT:]
            attempt.update(crashed=_count(record.get("crashed")), crashes=kept)
        elif number in self._attempts and _continues(record):
            self._attempts[number].update(values)

    def _rewrite(self) -> None:
        """Write the file anew with the last attempts only. A failure leaves it as it is, for the next time."""
        for number in sorted(self._attempts)[:-KEPT]:
            del self._attempts[number]
            self._started.pop(number, None)
        data = b"".join(_lines(self._attempts[number]) for number in sorted(self._attempts))
        try:
            with paths.folder(self._directory) as folder:
                folder.write(FILE_NAME, data, 0o600, sync=True)
            _sync_directory(self._directory)
        except OSError:
            return
        self._queue.clear()  # what was pending is in the new file
        self._torn = False


def _continues(record: Record) -> bool:
    """Whether a record adds to an attempt that has begun: what became known of it, or its end."""
    event, outcome = record.get("event"), record.get("outcome")
    return outcome is None if event == "note" else event == "end" and isinstance(outcome, str)


def _brought(attempt: Record) -> object:
    """The generation that has come into service by it, if one has."""
    old, new = (
        one.get("generation") if isinstance(one, dict) else None for one in (attempt.get("from"), attempt.get("to"))
    )
    return None if old == new else new


def _count(written: object) -> int:
    return written if type(written) is int and written > 0 else 0


def _lines(attempt: Record) -> bytes:
    """An attempt as the file keeps it: whole in its first line, which its last line ends."""
    begin = {key: value for key, value in attempt.items() if key not in ("outcome", "ended", "seconds")}
    data = _line({"event": "begin", **begin})
    if attempt["outcome"] is not None:
        data += _line(
            {"event": "end", "id": attempt["id"], **{key: attempt.get(key) for key in ("outcome", "ended", "seconds")}}
        )
    return data


def _line(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":"), default=str).encode() + b"\n"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _sync_directory(path: Path) -> None:
    fd = paths.open_file(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
