"""Hints: what ``ctl`` says is meant by a word or an option that it does not know."""

from __future__ import annotations

import pytest

from releve.ctl import hints, main

VERBS = ("status", "upgrade", "reload", "rollback", "stop", "workers")


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("statsu", "did you mean `ctl status`?"),
        ("ps", "did you mean `ctl workers` or `ctl status`?"),
        ("undo", "did you mean `ctl rollback`?"),
        ("start", "`releve -c FILE` starts a service, or `systemctl start` its unit"),
        ("init", "did you mean `releve init`?"),
        ("set", "change the configuration file, then `ctl reload`; `ctl config` shows the settings in force"),
        ("version", "`ctl --version` is that of Relève, `ctl status` shows the release that runs"),
        ("xyzzy", "`ctl --help` lists the verbs"),
    ],
)
def test_a_word_leads_to_the_verb_that_is_meant(word: str, hint: str) -> None:
    assert hints.of_verb(word, VERBS) == hint


def test_only_verbs_that_there_are_are_proposed() -> None:
    assert "logs" not in hints.of_verb("log", VERBS)
    assert hints.of_verb("log", (*VERBS, "logs")) == "did you mean `ctl logs`?"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ps"], "cannot do 'ps': did you mean `ctl workers` or `ctl status`?"),
        (["--json", "status"], "cannot use --json here: it comes after a verb, as in `ctl status --json`"),
        (["status", "--jsn"], "--json"),
        (["--bogus"], "--bogus"),
        (["-t"], "cannot use -t: `ctl check` validates the configuration"),
        (["-s", "reload"], "cannot use -s: write `ctl reload`, `ctl stop` or `ctl reopen`"),
        (["rollback", "7"], "Got unexpected extra argument (7): it goes back to the release before; `ctl "),
        (["upgrade", "/srv/42"], "`ctl upgrade --directory FOLDER` names a release"),
        (["config", "set", "threads", "4"], "change the configuration file, then `ctl reload`"),
        (["status", "shop"], "`ctl -c FILE status` names a service"),
    ],
)
def test_the_error_of_a_command_line_leads_on(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(arguments) == 2
    assert says in capsys.readouterr().err


def test_every_hint_leads_to_something_that_there_is() -> None:
    known = main.ctl.commands
    assert all(word in hints.OTHERS or any(verb in known for verb in meant) for word, meant in hints.VERBS.items())
