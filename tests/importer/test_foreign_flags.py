"""Flags of other servers: each leads to something that there is."""

from __future__ import annotations

import pytest

from releve.config.settings.settings import rules
from releve.importer.foreign_flags import INSTEAD, KEYS, instead
from releve.importer.settings.table import SETTINGS
from releve.supervisor import cli


@pytest.mark.parametrize("flag", sorted({flag for setting in SETTINGS.values() for flag in setting.flags}))
def test_every_flag_of_gunicorn_leads_on(flag: str) -> None:
    assert instead(flag) and "`" not in instead(flag)


@pytest.mark.parametrize("flag", KEYS)
def test_a_flag_leads_to_a_setting_that_there_is(flag: str) -> None:
    assert KEYS[flag] in rules() and KEYS[flag] in instead(flag)


def test_no_flag_of_ours_is_refused_and_what_is_said_to_be_written_is_one() -> None:
    ours = {flag for flags, *_ in cli.FLAGS for flag in flags}
    assert not ours & {*INSTEAD, *KEYS}
    written = {word for text in INSTEAD.values() for word in text.replace(",", "").split() if word.startswith("--")}
    assert written <= ours


def test_an_unknown_flag_leads_nowhere() -> None:
    assert instead("--bogus") == ""
