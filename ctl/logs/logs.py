"""``ctl logs``: the lines of a service, wherever they are kept."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from releve.config.errors import ConfigError
from releve.config.frozen import dataclass
from releve.config.reading.load import load
from releve.config.reading.sources import overrides
from releve.ctl.logs import journal
from releve.ctl.logs.entry import Entry
from releve.ctl.logs.file import LogFile
from releve.ctl.logs.place import FILE, JOURNAL, Place, place
from releve.ctl.logs.selection import Selection
from releve.ctl.screens import render
from releve.instance.protocol import Event, Status

LOOK_S = 0.25  # between two looks at a file that is followed


@dataclass(frozen=True, slots=True)
class Manner:
    """How they are shown."""

    follow: bool = False
    json: bool = False
    where: bool = False  # only where they are, and the command that reads them


def known(said: Event, config: str | None) -> Event:
    """What the supervisor says; where none runs, what its configuration does: then logs matter most."""
    if said["status"] != Status.NOT_RUNNING or config is None:
        return said
    try:
        log = load(Path(config), overrides({})).settings.log
    except ConfigError:
        return said
    if log.file == "-":
        return said
    render.say(f"{render.line(said['message'])}; log.file of {render.line(config)} says where its log is")
    access = {"to": "off"} if log.access is None else {"to": FILE, "path": log.access}
    if log.access == "-":
        access = {"to": "closed"}
    return {"status": int(Status.DONE), "log": {"to": FILE, "path": log.file}, "access": access}


def show(said: Event, wanted: Selection, manner: Manner) -> int:
    """Show what is asked for, from where the supervisor says that it is; the exit status."""
    log, access = place("log.file", said.get("log")), place("log.access", said.get("access"))
    chosen = access if wanted.access else log
    if manner.where:
        return _say_where(log, access, chosen, wanted, manner)
    if (refusal := chosen.refusal()) is not None:
        render.say(refusal)
        return Status.FAILED
    if chosen.to == JOURNAL:
        return _run_journalctl(_command(chosen, wanted, manner))
    if wanted.access and access.path != log.path:
        wanted = dataclasses.replace(wanted, access=False)  # the file has nothing else
    return _read(str(chosen.path), str(said.get("zone") or ""), wanted, manner)


def _say_where(log: Place, access: Place, chosen: Place, wanted: Selection, manner: Manner) -> int:
    facts = [("messages", log.words()), ("access lines", access.words())]
    if chosen.refusal() is None:
        facts.append(("read with", render.line(shlex.join(_command(chosen, wanted, manner)))))
    print("\n".join(render.facts(facts)))
    return Status.DONE


def _command(chosen: Place, wanted: Selection, manner: Manner) -> list[str]:
    """What somebody without ``ctl`` would type."""
    if chosen.to == FILE:
        lines = "+1" if wanted.lines is None else str(wanted.lines)
        return ["tail", "-n", lines, *(["-F"] if manner.follow else []), str(chosen.path)]
    return journal.command(chosen.unit, chosen.of_user, wanted, follow=manner.follow, as_json=manner.json)


def _run_journalctl(argv: list[str]) -> int:
    """Become it: it has the terminal, the pager and the signals."""
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        render.say(f"cannot run {argv[0]}: {why}; run: {render.line(shlex.join(argv))}")
        return Status.FAILED


def _read(path: str, zone: str, wanted: Selection, manner: Manner) -> int:
    try:
        file = LogFile(path, zone)
        try:
            shown = file.last(wanted)
            _write(shown, manner)
            if not shown and not manner.follow:
                named = wanted.worker is not None or wanted.generation is not None
                hint = "; `ctl workers` lists the workers" if named else ""
                render.say(f"no entries in {render.line(path)} match{hint}")
            while manner.follow:
                time.sleep(LOOK_S)
                _write((one for one in file.news() if wanted.admits(one)), manner)
        finally:
            file.close()
    except (BrokenPipeError, KeyboardInterrupt):  # the reader has seen enough
        render.mute(sys.stdout)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        hint = "; read it as root, or as a member of its group" if isinstance(error, PermissionError) else ""
        render.say(f"cannot read the log {render.line(path)}: {why}{hint}")
        return Status.FAILED
    return Status.DONE


def _write(entries: Iterable[Entry], manner: Manner) -> None:
    """Write them at once: what is followed is read through pipes too."""
    terminal = sys.stdout.isatty()  # whatever TERM says: an escape sequence in a line must not move the cursor
    for one in entries:
        if manner.json:
            print(_as_json(one))
        else:
            print(render.clean(one.text) if terminal else one.text)
    sys.stdout.flush()


def _as_json(one: Entry) -> str:
    try:
        return json.dumps(one.as_json())
    except RecursionError:  # a line of the application that can be read just so, and not written
        return json.dumps({"message": one.text})
