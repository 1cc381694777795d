"""The manual page of the command ``ctl``, rendered from its own verbs and options.

``python -m releve.pages.manual_ctl PAGE`` writes it; a test compares.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import click

from releve import __version__
from releve.ctl.conversation.find import SOCKET_VARIABLE
from releve.ctl.main import ctl
from releve.instance.protocol import MEANING
from releve.pages import roff


def manual() -> str:
    """The text of ``ctl.1``, as roff."""
    common = _common()
    options = [*common.values(), *(one for one in roff.declared(ctl) if roff.same(one) not in common)]
    usage = f"[{roff.bold('-c')} {roff.italic('FILE')}] {roff.italic('VERB')} [{roff.italic('OPTION')}]..."
    variable = (roff.bold(SOCKET_VARIABLE), roff.prose("The control socket, if neither -c nor --socket is given."))
    sections = [
        ("SYNOPSIS", [roff.synopsis(["ctl"], usage)]),
        ("DESCRIPTION", _description()),
        (
            "VERBS",
            [
                line
                for command in ctl.commands.values()
                for line in roff.entry(["ctl", str(command.name)], command, common)
            ],
        ),
        ("OPTIONS", roff.terms(map(roff.option, options))),
        (
            "EXIT STATUS",
            roff.terms((roff.bold(str(int(status))), roff.prose(text)) for status, text in MEANING.items()),
        ),
        ("ENVIRONMENT", roff.terms([variable])),
        ("SEE ALSO", roff.see("releve(1)", "releve.yaml(5)")),
    ]
    return roff.page("ctl", 1, "control a running releve", __version__, sections)


def _description() -> list[str]:
    return roff.paragraphs(
        "`ctl` finds the supervisor by --socket, by the configuration file (-c), by the folder it was "
        "started in, or because it is the "
        "only one that this user runs. It waits until the outcome is known, and its exit status is the outcome.",
        "Results go to standard output, progress and failures to standard error. An interrupt (Ctrl-C) "
        "ends the waiting, never the "
        "operation.",
    )


def _common() -> dict[str, click.Option]:
    """The options that more than one verb takes."""
    every = [one for command in ctl.commands.values() for one in command.params if isinstance(one, click.Option)]
    times = Counter(map(roff.same, every))
    return {roff.same(one): one for one in every if times[roff.same(one)] > 1}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(manual(), encoding="utf-8")
