"""What became of an operation whose supervisor was killed meanwhile: the next supervisor's history knows."""

from __future__ import annotations

import time
from typing import Any

from releve.ctl.conversation.client import ConversationLost, TimedOut, converse
from releve.ctl.conversation.find import FindError, connect
from releve.ctl.verbs import VERBS
from releve.instance.protocol import Event, Status

PATIENCE_S = 15.0  # until another supervisor has settled what was under way; a probation is waited for beyond that
AGAIN_S = 0.1


def aftermath(path: str, verb: str, attempt: int) -> Event | None:
    """The true result of an attempt, or None if nobody can tell: no supervisor came, or it knows nothing of it."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        entries = _history(path)
        if entries is not None:
            mine = next((entry for entry in entries if entry.get("id") == attempt), None)
            if mine is None:
                return None
            later = [
                entry for entry in entries if entry.get("id", 0) > attempt and entry.get("verb") in ("adopt", "start")
            ]
            after = next((entry for entry in later if entry.get("outcome") != "interrupted"), None)
            if after is not None and after.get("outcome") is not None:
                return _result(verb, attempt, mine, after)
            if after is not None:
                until = time.monotonic() + PATIENCE_S  # it is being settled
        time.sleep(AGAIN_S)
    return None


def _history(path: str) -> list[dict[str, Any]] | None:
    try:
        sock = connect(path)
        if sock is None:
            return None
        with sock:
            result = converse(sock, "history", {}, lambda event: None, PATIENCE_S)
    except (ConversationLost, TimedOut, FindError):
        return None
    entries = result.get("entries")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else None


def _result(verb: str, attempt: int, mine: dict[str, Any], after: dict[str, Any]) -> Event:
    before, now = mine.get("from") or {}, after.get("to") or {}
    changes = VERBS[verb].changes or "generation"
    done = now.get(changes) not in (None, before.get(changes))
    status = Status.DONE if done else Status.ROLLED_BACK if after.get("outcome") == "rolled back" else Status.FAILED
    became = "it completed and stays in force" if done else "it was undone"
    if not VERBS[verb].undone:
        became, done, status = "the master continues it; `ctl workers` shows what was done", False, Status.FAILED
    reason = f": {after['reason']}" if after.get("reason") else ""
    return {
        "event": "result",
        "status": int(status),
        "message": (f"the supervisor was killed during {verb} {attempt}, and another one took over; {became}{reason}"),
        "serving": f"generation {now.get('generation')}, {now.get('directory')}",
        "next": "" if done else "`ctl history` shows both attempts; try again",
    }
