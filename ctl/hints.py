"""Hints: what somebody means who types a verb or a flag that ``ctl`` does not know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import click

from releve.config.errors import nearest

_AT_BOOT = "`systemctl enable` and `systemctl disable` decide whether its unit is started at boot"
_EDITED = "change the configuration file, then `ctl reload`; `ctl config` shows the settings in force"
_START = "`releve -c FILE` starts a service, or `systemctl start` its unit"

# what others call it -> verbs of ours, of which those count that there are
VERBS: dict[str, tuple[str, ...]] = {
    "audit": ("history",),
    "back": ("rollback",),
    "cancel": ("abort",),
    "configtest": ("check",),
    "cordon": ("drain",),
    "deploy": ("upgrade",),
    "describe": ("status", "history"),
    "down": ("stop",),
    "end": ("stop",),
    "env": ("config",),
    "events": ("history",),
    "get": ("status",),
    "graceful": ("reload",),
    "health": ("status", "doctor"),
    "hup": ("reload",),
    "info": ("status",),
    "journal": ("logs",),
    "kill": ("stop",),
    "list": ("status", "workers"),
    "log": ("logs",),
    "ls": ("workers", "status"),
    "maintenance": ("drain",),
    "metrics": ("top",),
    "monitor": ("top",),
    "pause": ("drain",),
    "promote": ("upgrade",),
    "ps": ("workers", "status"),
    "quit": ("stop",),
    "recycle": ("restart",),
    "release": ("upgrade",),
    "releases": ("history", "status"),
    "replace": ("restart",),
    "requests": ("workers",),
    "resume": ("undrain",),
    "revert": ("rollback",),
    "rotate": ("reopen",),
    "settings": ("config",),
    "show": ("status",),
    "shutdown": ("stop",),
    "slow": ("workers",),
    "stack": ("dump",),
    "stacks": ("dump",),
    "stats": ("top", "status"),
    "switch": ("upgrade",),
    "tail": ("logs",),
    "terminate": ("stop",),
    "test": ("check",),
    "threads": ("dump", "workers"),
    "trace": ("dump",),
    "uncordon": ("undrain",),
    "undo": ("rollback",),
    "update": ("upgrade",),
    "validate": ("check",),
    "watch": ("top",),
}
# where no verb is meant
OTHERS = {
    "disable": _AT_BOOT,
    "edit": _EDITED,
    "enable": _AT_BOOT,
    "errors": "did you mean `ctl logs -p error`?",
    "help": "write `ctl --help`",
    "import": "did you mean `releve import`?",
    "init": "did you mean `releve init`?",
    "rollout": "did you mean `ctl upgrade`, `ctl restart --all`, `ctl rollback` or `ctl history`?",
    "run": _START,
    "schema": "did you mean `releve schema`?",
    "serve": _START,
    "set": _EDITED,
    "start": _START,
    "systemd-unit": "did you mean `releve systemd-unit`?",
    "version": "`ctl --version` is that of Relève, `ctl status` shows the release that runs",
}
# flags of other programs, in front of a verb
FLAGS = {"-t": "`ctl check` validates the configuration", "-s": "write `ctl reload`, `ctl stop` or `ctl reopen`"}
# what a verb takes no argument for -> what is to be written instead
ARGUMENTS = {
    "config": _EDITED,
    "reload": "`ctl reload` reads the file again, and `ctl -c FILE reload` names a service",
    "rollback": "it goes back to the release before; `ctl upgrade --directory FOLDER` starts any other",
    "upgrade": "`ctl upgrade --directory FOLDER` names a release, and `ctl -c FILE upgrade` a service",
}
_EXTRA = re.compile("Got unexpected extra argument")  # click's words


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
    """The error of a command line, with what is to be written instead: of an argument that the verb does not take, of
    an option that stands in front of its verb.
    """
    if isinstance(error, click.UsageError) and error.ctx is not None and _EXTRA.match(error.message):
        verb = error.ctx.info_name or ""
        advice = ARGUMENTS.get(verb, f"`ctl -c FILE {verb}` names a service")
        return click.UsageError(f"{error.message}: {advice}", error.ctx)
    if not isinstance(error, click.NoSuchOption) or error.ctx is None or error.ctx.parent is not None:
        return error
    if error.option_name in FLAGS:
        return click.UsageError(f"cannot use {error.option_name}: {FLAGS[error.option_name]}", error.ctx)
    having = [
        name
        for name, command in commands.items()
        if any(error.option_name in parameter.opts for parameter in command.params)
    ]
    if not having:
        return error
    verb = f"ctl {having[0]} {error.option_name}"
    return click.UsageError(f"cannot use {error.option_name} here: it comes after a verb, as in `{verb}`", error.ctx)
