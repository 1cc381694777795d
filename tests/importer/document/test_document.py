"""YAML with comments: what is read is what was written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releve.config.reading.yaml_file import parse
from releve.importer.document import document
from releve.importer.document.document import Entry, render, word


@settings(deadline=None)
@given(st.text())
def test_every_text_survives_being_written(text: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        with pytest.raises(ValueError, match="UTF-8"):
            word(text)
        return
    read = parse(render([], {"env": Entry({"A": text})}, []), "x", "/").content
    assert isinstance(read, dict) and isinstance(read["env"].content, dict) and read["env"].content["A"].content == text


@settings(deadline=None)
@given(st.text())
def test_no_remark_leaves_its_comment(text: str) -> None:
    lines = list(document.comment(f"A {text}"))
    assert lines and all(line.startswith("#") and len(line.splitlines()) == 1 for line in lines)


def test_keys_of_the_top_come_first_and_blocks_in_their_order() -> None:
    entries = {
        "log.level": Entry("debug"),
        "limits.head": Entry("64KiB", "the default"),
        "listen": Entry([":80", {"unix": "/x", "mode": "0600"}]),
        "app": Entry("a:b"),
    }
    assert (
        render(["Head."], entries, ["Tail."])
        == """\
# Head.

listen:
  - ":80"
  - {unix: /x, mode: 0600}
app: a:b
limits:
  head: 64KiB                       # the default
log:
  level: debug

# Tail.
"""
    )
