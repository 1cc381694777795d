"""The symptoms of a release that is refused: which requests failed, and what its workers wrote last.

Pure; ``ctl`` shows them too.

They are in the evidence of an attempt, as ``failures`` and ``output``. What they say comes from the application: it is
clipped, and made legible.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from releve.config.legible import legible, one_line
from releve.instance.protocol import LINE_MAX_BYTES, encode

if TYPE_CHECKING:
    from releve.server.scoreboard.recorder import Line, Sample

FAILURES_MAX = 3
WORKERS_MAX = 2  # whose output is shown: those that wrote last
LINES_MAX, TEXT_MAX = 20, 4000  # of one worker's output, lines and characters
REPLY_BYTES = LINE_MAX_BYTES - (1 << 16)  # of the attempts in one answer of the supervisor, which is one line
REPLY_MAX = 20  # attempts that one answer of the supervisor tells with their symptoms and crashes: they may be long
KEYS = ("failures", "output")

HOW = ("", "in the middle of its response", "request of the supervisor")  # by `recorder.Kind`

Evidence = dict[str, Any]


def select(samples: Sequence[Sample], lines: Iterable[Line]) -> Evidence:
    """Of what the workers of a generation have told, what a person needs: of the failures rather different ones, and
    the oldest.
    """
    first = {
        (one.kind, one.status, one.trace.rpartition("\n")[2] or one.request): one
        for one in sorted(samples, key=_when, reverse=True)
    }
    different = sorted(first.values(), key=lambda one: (one.kind, one.when))
    chosen = set(map(id, different))
    rest = sorted((one for one in samples if id(one) not in chosen), key=lambda one: (one.kind, one.when))
    failures = [_failure(one) for one in [*different, *rest][:FAILURES_MAX]]
    written: dict[int, list[Line]] = {}
    for line in sorted(lines, key=lambda one: (one.when, one.number)):
        written.setdefault(line.worker, []).append(line)
    last = sorted(written.items(), key=lambda item: item[1][-1].when)[-WORKERS_MAX:]
    output = [{"worker": worker, "lines": _last(theirs)} for worker, theirs in last]
    return {name: value for name, value in zip(KEYS, (failures, output), strict=True) if value}


def words(evidence: object) -> list[str]:
    """The same for people, in lines; none where there is nothing to say. The evidence may be of another release."""
    shown = []
    for one in _mappings(evidence, "failures"):
        how = f", {one['how']}" if one.get("how") else ""
        shown.append(f"worker {one.get('worker')} failed: {one.get('request')}: {one.get('status')}{how}")
        shown += [f"  {line}" for line in str(one.get("trace") or "").splitlines()]
    for one in _mappings(evidence, "output"):
        lines = one.get("lines")
        shown.append(f"worker {one.get('worker')} wrote last:")
        shown += [f"  {line}" for line in (lines if isinstance(lines, list) else [])]
    return [legible(line) for line in shown]


def brief(evidence: object) -> str:
    """The first of the failures in a few words: its request, and the last line of its traceback."""
    for one in _mappings(evidence, "failures"):
        said = str(one.get("trace") or "").rstrip().rpartition("\n")[2]
        return f"{one.get('request')}: {one.get('status')}{f' ({said})' if said else ''}"
    return ""


def thinned(attempts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Attempts, the newest last, with the symptoms and the crashes of the last ones only: one answer has room for so
    much.
    """
    left = REPLY_MAX
    kept = []
    for attempt in reversed(attempts):
        evidence = attempt.get("evidence")
        told = isinstance(evidence, dict) and any(key in evidence for key in KEYS)
        crashes = _mappings(attempt, "crashes")
        if told or crashes:
            left -= 1
            if left < 0:
                attempt = (
                    {**attempt, "crashes": [{**one, "stack": ""} for one in crashes[-1:]]} if crashes else {**attempt}
                )
                if isinstance(evidence, dict):
                    attempt["evidence"] = {key: value for key, value in evidence.items() if key not in KEYS}
        kept.append(attempt)
    return kept[::-1]


def fitting(attempts: list[dict[str, Any]], most_bytes: int = REPLY_BYTES) -> list[dict[str, Any]]:
    """Of attempts, the newest last, the newest that fit into one answer."""
    for number, attempt in enumerate(reversed(attempts)):
        most_bytes -= len(encode(attempt))
        if most_bytes < 0:
            return attempts[len(attempts) - number :]
    return attempts


def _when(one: Sample) -> float:
    return one.when


def _failure(one: Sample) -> Evidence:
    found = {"worker": one.worker, "request": one_line(one.request), "status": one.status, "how": HOW[one.kind]}
    return {key: value for key, value in {**found, "trace": legible(one.trace.replace("\r\n", "\n"))}.items() if value}


def _last(lines: list[Line]) -> list[str]:
    """The last ones for which there is room."""
    shown: list[str] = []
    left = TEXT_MAX
    for line in reversed(lines[-LINES_MAX:]):
        text = one_line(line.text.removesuffix("\r"))
        left -= len(text)
        if left < 0:
            break
        shown.append(text)
    return shown[::-1]


def _mappings(evidence: object, key: str) -> list[dict[str, Any]]:
    found = evidence.get(key) if isinstance(evidence, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
