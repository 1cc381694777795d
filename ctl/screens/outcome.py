"""What ``ctl`` says when a verb has ended: the result, or what failed, what is serving, what to do next.

In a pipe or a log each sentence is one line; on a terminal it is wrapped to the width, its rest indented.
"""

from __future__ import annotations

from typing import TextIO

from releve.ctl.screens import render
from releve.ctl.screens import styled_lines as screen
from releve.ctl.screens.styled_lines import Line, Piece, fact_lines, wrap
from releve.instance import symptoms
from releve.instance.protocol import Event, Status

TRACEBACK_LINES = 15
INDENT = "  "
GOOD = (Status.DONE, Status.DEGRADED)

NEXT = {
    Status.UNEXPECTED: "see the log of the service, then `ctl status`",
    Status.FAILED: "fix the cause and try again; `ctl history` lists the attempts",
    Status.ROLLED_BACK: "fix the release and upgrade again; `ctl history` lists the attempts",
    Status.INTERRUPTED: "`ctl status` shows the progress",
    Status.BUSY: "wait for it (`ctl status`), or cancel it with `ctl abort`",
    Status.DEGRADED: "`ctl status` says why",
}
SERVING = {
    Status.USAGE: "as before; nothing was changed",
    Status.FAILED: "the old generation, as before",
    Status.ROLLED_BACK: "the previous generation",
}


def say(result: Event, stream: TextIO) -> None:
    """Everything a person needs of a result; plain where it may end up in a journal or a deploy log."""
    if render.on_terminal(stream):
        screen.show_rich(lines(result, render.console(stream).width), stream)
    else:
        screen.show_plain(lines(result, None), stream)


def lines(result: Event, width: int | None) -> list[Line]:
    """The message; the rest of the story where it is not simply done."""
    status = result["status"]
    message = render.clean(result.get("message") or f"ended with status {status}").rstrip()
    shown = [line for part in message.splitlines() for line in _hanging(part, width, _style(status))]
    notes = _notes(result)
    if status == Status.DONE:
        return [*shown, *fact_lines(notes, width, INDENT)]
    reason = render.clean(result.get("reason") or "").strip()
    story = [
        ("step", render.line(result.get("step"))),
        ("reason", "" if reason in message else render.line(reason)),
        *notes,
    ]
    asked = result.get("event") == "result"  # else it was made here, and says all there is to say
    serving = render.line(result.get("serving", SERVING.get(status) if asked else None))
    after = render.line(result.get("next", NEXT.get(status) if asked else None))
    traceback = render.clean(result.get("traceback") or "").rstrip().splitlines()
    told = symptoms.words(result.get("evidence"))
    shown += fact_lines(_present(story), width, INDENT)
    if traceback or told:
        cut = ["…"] if len(traceback) > TRACEBACK_LINES else []
        # never wrapped: the marks below a line of code point at what is above them
        quoted = [f"    {line}" for line in [*cut, *traceback[-TRACEBACK_LINES:], *told]]
        shown += [(Piece(text),) for text in ["", *quoted, ""]]
    return [*shown, *fact_lines(_present([("serving", serving), ("next", after)]), width, INDENT)]


def _hanging(text: str, width: int | None, style: str) -> list[Line]:
    """A sentence on as many lines as it takes; all but the first are indented."""
    room = None if width is None or len(text) <= width else width - len(INDENT)
    first, *rest = wrap(text, room, style)
    return [first, *((Piece(INDENT), *line) for line in rest)]


def _style(status: int) -> str:
    """A color for what failed, and for what did so in part; most results need none."""
    if status in (Status.FAILED, Status.ROLLED_BACK):
        return "bold red"
    return "yellow" if status == Status.DEGRADED else ""


def _notes(result: Event) -> list[tuple[str, str]]:
    """What was done otherwise than the configuration says."""
    pairs = (
        ("ignored", "ignored_keys"),
        ("needs an upgrade", "needs_upgrade"),
        ("needs a restart", "needs_restart"),
        ("degraded", "degraded"),
    )
    return [
        (name, ", ".join(map(render.line, result[key])))
        for name, key in pairs
        if isinstance(result.get(key), list) and result[key]
    ]


def _present(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in pairs if value not in ("", render.UNKNOWN)]
