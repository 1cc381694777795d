"""Our table of gunicorn's settings against gunicorn itself, and the page that is rendered from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gunicorn import config

from releve.config.settings.settings import key_names
from releve.importer.gunicorn.flags import parser
from releve.importer.settings import values
from releve.importer.settings.table import SECTIONS, SETTINGS
from releve.importer.translate import ORDER
from releve.pages import from_gunicorn as reference
from releve.pages.marked import renewed

ROOT = Path(__file__).parents[3]
KNOWN = {setting.name: setting for setting in config.KNOWN_SETTINGS}
ACTIONS = {
    ("store_true", None): "true",
    ("store_const", None): "false",
    ("append", None): "append",
    (None, "?"): "optional",
    (None, None): "store",
}
OF_THE_HOST = {"chdir", "user", "group", "control_socket"}  # their defaults are made when gunicorn is imported


def test_no_setting_of_gunicorn_is_missing() -> None:
    assert sorted(set(KNOWN) - set(SETTINGS)) == []
    assert len(SETTINGS) == sum(map(len, SECTIONS.values())), "one of them stands in two sections"


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_flags_actions_and_defaults_are_those_of_gunicorn(name: str) -> None:
    theirs, ours = KNOWN[name], SETTINGS[name]
    assert list(ours.flags) == (theirs.cli or [])
    if theirs.cli:
        assert ours.action == ACTIONS[theirs.action, theirs.nargs]
    if ours.kind == "hook":
        assert callable(theirs.default)
    elif name not in OF_THE_HOST:
        default: Any = theirs.default
        assert values.convert(ours.kind, ours.default) == values.convert(ours.kind, getattr(default, "value", default))


def test_every_key_that_is_named_is_ours_and_is_written() -> None:
    assert {setting.key for setting in SETTINGS.values() if setting.key} <= set(key_names())
    elsewhere = {
        "worker_class",
        "paste",
        "raw_paste_global_conf",
        "proxy_allow_ips",
        "access_log_format",
    }
    carrying = {setting.name for setting in SETTINGS.values() if setting.carry is not None}
    assert set(ORDER) == carrying and len(ORDER) == len(carrying)
    assert {setting.name for setting in SETTINGS.values() if setting.key} == carrying | elsewhere


def test_every_setting_has_a_text() -> None:
    assert [one.name for one in SETTINGS.values() if not one.text.rstrip(")").endswith(".")] == []


def test_the_command_line_takes_every_flag() -> None:
    value = {"true": [], "false": [], "optional": [], "append": ["4"], "store": ["4"]}
    for setting in SETTINGS.values():
        for flag in setting.flags:
            told = vars(parser().parse_args([flag, *value[setting.action]]))
            assert told.pop("args") == []
            assert [name for name, found in told.items() if found is not None] == [setting.name]


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "from-gunicorn.md").read_text(encoding="utf-8")
    assert renewed(page, reference.TABLES) == page, "make docs renews it"
    for name in SETTINGS:
        assert f"| `{name}` | " in page
