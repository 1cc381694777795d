"""Kinds: each can be read, shown and checked, and says why when a word is none of it."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from releve.config.kinds.kinds import PARSERS, convert
from releve.config.kinds.schema import KINDS as SCHEMA_KINDS
from releve.config.reading.readers import READERS
from releve.config.settings.settings import rules
from releve.config.settings.upgrade import Canary, Check
from releve.pages.configuration import KINDS as REFERENCE_KINDS


@given(
    st.sampled_from(sorted(PARSERS)),
    st.text(max_size=30),
    st.sampled_from([{}, {"off": "off"}, {"off": "auto", "minimum": 1, "maximum": 9}]),
)
def test_no_text_raises_anything_but_valueerror(kind: str, text: str, more: dict[str, object]) -> None:
    try:
        convert(kind, text, {"choices": ("off", "on"), **more})
    except ValueError as error:
        assert str(error)


def test_every_kind_can_be_read_shown_and_checked() -> None:
    used = {rule["kind"] for rule in rules().values()} | {
        field.metadata["kind"] for field in (*dataclasses.fields(Check), *dataclasses.fields(Canary))
    }
    assert used <= set(PARSERS) | set(READERS)
    assert used <= set(REFERENCE_KINDS)
    assert used <= set(SCHEMA_KINDS)
