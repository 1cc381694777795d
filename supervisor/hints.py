"""Hints: what somebody means who types a word or a flag that ``releve`` does not know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from releve.config.errors import nearest

_ALIKE = 0.75  # a module's name that is only a little like a command is a module's name
_STARTS = ("run", "serve", "start")  # what others call it to start


def of_word(word: str, commands: Iterable[str]) -> str:
    """What is meant by a first word, where an application would be ``MODULE:OBJECT``; empty if that cannot be said.

    ``commands``: those of ``releve`` itself.
    """
    from releve.ctl.main import ctl  # not read at a start

    if ":" in word or "/" in word:
        return ""
    if word in ctl.commands:
        return f"did you mean `ctl {word}`?"
    if word in _STARTS:
        return "`releve APP` and `releve -c FILE` start a service, without another word"
    if word == "help":
        return "did you mean `releve --help`?"
    meant = nearest(word, commands, _ALIKE)
    return f"did you mean `releve {meant}`?" if meant else ""


def misread(word: str, commands: Iterable[str]) -> click.UsageError | None:
    """The error for a first word that is no application, where it is plain what is meant."""
    hint = of_word(word, commands)
    return click.UsageError(f"cannot serve {word!r}: an application is written MODULE:OBJECT; {hint}") if hint else None


def led_on(error: click.ClickException, arguments: Sequence[str], commands: Iterable[str]) -> click.ClickException:
    """The error of a command line, with what to write instead: of its first word, or of another server's flag."""
    if arguments and not arguments[0].startswith("-") and (better := misread(arguments[0], commands)):
        return better
    if not isinstance(error, click.NoSuchOption):
        return error
    from releve.importer.foreign_flags import instead

    advice = instead(error.option_name)
    return click.UsageError(f"cannot use {error.option_name}: {advice}", error.ctx) if advice else error
