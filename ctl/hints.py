"""Hints: what somebody means who types a verb or a flag that ``ctl`` does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import click

from releve.config.errors import nearest

_START = "`releve -c FILE` starts a service, or `systemctl start` its unit"

# what others call it -> verbs of ours, of which those count that there are
VERBS: dict[str, tuple[str, ...]] = {
    "back": ("rollback",),
    "cancel": ("abort",),
    "configtest": ("check",),
    "deploy": ("upgrade",),
    "down": ("stop",),
    "end": ("stop",),
    "graceful": ("reload",),
    "health": ("status", "doctor"),
    "info": ("status",),
    "kill": ("stop",),
    "list": ("status", "workers"),
    "log": ("logs",),
    "ps": ("workers", "status"),
    "quit": ("stop",),
    "release": ("upgrade",),
    "revert": ("rollback",),
    "rotate": ("reopen",),
    "show": ("status",),
    "shutdown": ("stop",),
    "stacks": ("dump",),
    "stack": ("dump",),
    "terminate": ("stop",),
    "test": ("check",),
    "trace": ("dump",),
    "undo": ("rollback",),
    "update": ("upgrade",),
    "validate": ("check",),
}
# where no verb is meant
OTHERS = {
    "help": "write `ctl --help`",
    "import": "did you mean `releve import`?",
    "init": "did you mean `releve init`?",
    "run": _START,
    "schema": "did you mean `releve schema`?",
    "serve": _START,
    "start": _START,
    "systemd-unit": "did you mean `releve systemd-unit`?",
}


def of_verb(word: str, known: Iterable[str]) -> str:
    """What is meant by a word that is not one of the ``known`` verbs, with what can be typed."""
    verbs = list(known)
    if meant := [verb for verb in VERBS.get(word, ()) if verb in verbs]:
        return f"did you mean {' or '.join(f'`ctl {verb}`' for verb in meant)}?"
    if word in OTHERS:
        return OTHERS[word]
    near = nearest(word, verbs)
    return f"did you mean `ctl {near}`?" if near else "`ctl --help` lists the verbs"


def led_on(error: click.ClickException, commands: Mapping[str, click.Command]) -> click.ClickException:
    """The error of a command line, with the place of an option that stands in front of its verb."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None or error.ctx.parent is not None:
        return error
    having = [
        name
        for name, command in commands.items()
        if any(error.option_name in parameter.opts for parameter in command.params)
    ]
    if not having:
        return error
    verb = f"ctl {having[0]} {error.option_name}"
    return click.UsageError(f"cannot use {error.option_name} here: it comes after a verb, as in `{verb}`", error.ctx)
