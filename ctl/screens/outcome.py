"""What ``ctl`` says when a verb has ended: the result, or what failed, what is serving, what to do next."""

from __future__ import annotations

from typing import TextIO

from releve.ctl.screens import render
from releve.instance import symptoms
from releve.instance.protocol import Event, Status

TRACEBACK_LINES = 15
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
    """Everything a person needs of a result, plain: it may end up in a journal or a deploy log."""
    print("\n".join(lines(result)), file=stream)


def lines(result: Event) -> list[str]:
    """The message; the rest of the story where it is not simply done."""
    status = result["status"]
    message = render.clean(result.get("message") or f"ended with status {status}").rstrip()
    notes = _notes(result)
    if status == Status.DONE:
        return [message, *render.facts(notes, "  ")]
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
    shown = [message, *render.facts(_present(story), "  ")]
    if traceback or told:
        shown += [
            "",
            *(["    …"] if len(traceback) > TRACEBACK_LINES else []),
            *(f"    {line}".rstrip() for line in [*traceback[-TRACEBACK_LINES:], *told]),
            "",
        ]
    return [*shown, *render.facts(_present([("serving", serving), ("next", after)]), "  ")]


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
