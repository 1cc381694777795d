"""What the history says about releases: which one a cold start takes, and which one a late rollback goes back to.

Pure: from the attempts to a decision. A release is what was started: directory and
interpreter, resolved, and the revision where it is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from releve.config.frozen import dataclass

Release = Mapping[str, Any]
Entry = Mapping[str, Any]

COMMITTING = ("start", "upgrade", "recover", "adopt")  # verbs whose outcome ``done`` means that ``to`` was committed
BAD = ("failed", "rolled back")


@dataclass(frozen=True, slots=True)
class Decision:
    """``release`` is None: what is written, or none."""

    release: Release | None
    reason: str


def choose(entries: Sequence[Entry], wanted: Release, exists: Callable[[Release], bool]) -> Decision:
    """Which release a cold start takes: the one that is configured, unless exactly that one went wrong when it was
    tried last.

    Wrong is: it was rolled back, or rejected on probation; or it was never committed, and failed, or was switched to
    (a power cut in its probation). Then the last committed one is taken, if it is still there. A release that was
    committed and fails when it is tried once more serves all the while: that says nothing against it.
    """
    wrong = _last_word(entries, wanted)
    if not wrong:
        return Decision(None, "")
    for entry in reversed(entries):
        release = _committed(entry)
        if release is not None and not same(release, wanted) and not _last_word(entries, release):
            if exists(release):
                return Decision(release, f"{wanted['directory']} {wrong}: starting the last committed release instead")
            return Decision(
                None,
                (f"{wanted['directory']} {wrong}, and the last committed release no longer exists: trying it again"),
            )
    return Decision(None, "")


def previous(entries: Sequence[Entry], current: Release) -> Decision:
    """The release that was committed before the present one; after a rollback, the one before that."""
    line: list[Release] = []
    same_folder = False
    for entry in entries:
        release = _committed(entry)
        if release is None:
            continue
        if line and _place(line[-1]) == _place(release):
            same_folder = same_folder or not same(line[-1], release)
            line[-1] = release
        elif entry.get("verb") == "rollback" and any(_place(one) == _place(release) for one in line):
            while _place(line[-1]) != _place(release):
                line.pop()
        else:
            line.append(release)
    while line and _place(line[-1]) == _place(current):
        line.pop()
    if line:
        return Decision(line[-1], "")
    if same_folder:
        return Decision(
            None,
            (
                "the previous release was in the same folder, which now holds the current one: deploy the previous one "
                "again, then ctl upgrade"
            ),
        )
    return Decision(
        None, "the history has no release before the current one: deploy the release to run, then ctl upgrade"
    )


def same(one: Release, other: Release) -> bool:
    """Whether two descriptions are of the same release, as far as it can be told."""
    return _place(one) == _place(other) and one.get("revision") == other.get("revision")


def _place(release: Release) -> tuple[Any, Any]:
    return release.get("directory"), release.get("python")


def _committed(entry: Entry) -> Release | None:
    """The release that an attempt committed, if it did."""
    release = entry.get("to")
    done = entry.get("outcome") == "done" and entry.get("verb") in (*COMMITTING, "rollback")
    return release if done and isinstance(release, dict) and release.get("directory") else None


def _last_word(entries: Sequence[Entry], release: Release) -> str:
    """How a release went wrong, by the last that is known of it; empty if it did not, or was never tried."""
    doubt = ""  # holds only if it was never committed before
    for entry in reversed(entries):
        committed = _committed(entry)
        if committed is not None and same(committed, release):
            return ""
        if entry.get("verb") == "rollback" and entry.get("outcome") == "done" and _is(entry.get("from"), release):
            return "was rolled back"
        if not _is(entry.get("target"), release):
            continue
        # else it was its own successor that was rejected
        if entry.get("outcome") == "rolled back" and not _is(entry.get("to"), release):
            return "was rolled back"
        if entry.get("outcome") in BAD:
            doubt = doubt or "failed"
        elif entry.get("outcome") == "interrupted" and entry.get("switched"):
            doubt = doubt or "was switched to and never committed"
    return doubt


def _is(found: object, release: Release) -> bool:
    return isinstance(found, dict) and same(found, release)
