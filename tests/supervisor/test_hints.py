"""Hints: what ``releve`` says is meant by a word or a flag that it does not know."""

from __future__ import annotations

from collections.abc import Sequence

import click
import pytest

from releve.supervisor import cli, hints


def refusal(*arguments: str) -> str:
    """The error of a command line."""
    with pytest.raises(click.ClickException) as refused:
        cli.command("releve", "").main(list(arguments), standalone_mode=False)
    return hints.led_on(refused.value, arguments, cli.SUBCOMMANDS).format_message()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["status"], "did you mean `ctl status`?"),
        (["status", "--json"], "did you mean `ctl status`?"),
        (["run", "shop:app"], "`releve APP` and `releve -c FILE` start a service, without another word"),
        (["chek"], "did you mean `releve check`?"),
        (["help"], "did you mean `releve --help`?"),
        (["--reload", "shop:app"], "cannot use --reload: write --watch code"),
        (["--host", "::1", "shop:app"], "cannot use --host: write --bind HOST:PORT"),
        (["-k", "gevent", "shop:app"], "write --threads N"),
        (["--daemon", "shop:app"], "gunicorn's --daemon has no equivalent here. "),
        (["--wrkers", "3", "shop:app"], "--workers"),
        (["--bogus", "shop:app"], "--bogus"),
    ],
)
def test_the_error_of_a_command_line_leads_on(arguments: Sequence[str], says: str) -> None:
    assert says in refusal(*arguments)


def test_a_setting_is_named_with_its_variable() -> None:
    said = refusal("--max-requests", "5", "shop:app")
    assert said.endswith("set limits.requests in the configuration file, or the variable RELEVE_LIMITS_REQUESTS")


@pytest.mark.parametrize("word", ["shop:app", "shop", "status:app", "./status"])
def test_what_may_be_an_application_is_left_alone(word: str) -> None:
    assert hints.of_word(word, cli.SUBCOMMANDS) == ""
