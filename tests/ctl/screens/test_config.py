"""The settings in force, shown."""

from __future__ import annotations

import io

import pytest

from releve.ctl.screens import config

RESULT = {
    "settings": [
        {"key": "app", "value": "hello:\x1bapp", "from": "/srv/shop.yaml:1"},
        {"key": "threads", "value": "8", "from": "default"},
        "of another release",
    ]
}


def test_as_text_and_without_defaults() -> None:
    stream = io.StringIO()
    config.show_plain(config.written(RESULT), stream)
    assert [line.split() for line in stream.getvalue().splitlines()] == [
        ["setting", "from", "value"],
        ["app", "/srv/shop.yaml:1", "hello:\\x1bapp"],
    ]
    assert config.written({"message": "no"}) == {"message": "no"}


@pytest.mark.parametrize(("width", "lines"), [(80, 3), (36, 5)])
def test_where_there_is_no_room_the_place_stands_below(width: int, lines: int) -> None:
    shown = ["".join(piece.text for piece in line) for line in config.lines(RESULT, width)]
    assert len(shown) == lines and max(map(len, shown)) <= width
    assert any("/srv/shop.yaml:1" in line for line in shown)
