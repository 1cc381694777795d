"""Defaults as they are written: what is written so is the default again."""

import dataclasses
from typing import Any

import pytest

from releve.config.kinds.defaults import default_text, value_text
from releve.config.kinds.kinds import PARSERS, convert
from releve.config.settings.key import settings_of
from releve.config.settings.settings import GROUPS, Settings
from releve.config.settings.upgrade import Canary, Check

BLOCKS: tuple[type[Any], ...] = (Settings, *GROUPS.values(), Check, Canary)
FIELDS = [field for block in BLOCKS for field in settings_of(block)]
WORDS = [field for field in FIELDS if field.metadata["kind"] in PARSERS and default_text(field)]


@pytest.mark.parametrize("field", WORDS, ids=lambda field: field.name)
def test_a_default_is_read_as_itself(field: dataclasses.Field[object]) -> None:
    assert convert(field.metadata["kind"], default_text(field), field.metadata) == field.default


def test_lists_and_blocks() -> None:
    texts = {field.name: default_text(field) for field in settings_of(Settings) if field.name not in GROUPS}
    assert texts["listen"] == "127.0.0.1:8000"
    assert (texts["env"], texts["mounts"], texts["include"]) == ("{}", "{}", "[]")


def test_of_a_block_what_is_the_default_is_left_out() -> None:
    assert value_text({"kind": "check"}, Check("/up")) == "{path: /up}"
    assert value_text({"kind": "check"}, Check("/up", headers={"A": "b"})) == "{path: /up, headers: {A: b}}"
