"""What a value of gunicorn's means."""

from typing import Any

import pytest

from releve.importer.settings.values import convert, shown


@pytest.mark.parametrize(
    ("kind", "value", "meaning"),
    [
        ("int", "0x10", 16),
        ("int", 3.0, 3),
        ("mode", "022", 0o22),
        ("mode", 18, 18),
        ("bool", " True ", True),
        ("text", " a ", "a"),
        ("lower", "DEBUG", "debug"),
        ("texts", "a", ["a"]),
        ("texts", None, []),
        ("names", "a, b,", ["a", "b"]),
        ("networks", "*", ["*"]),
        ("class", {"callable": "x.Y"}, "x.Y"),
        ("user", 33, "33"),
        ("folder", "./a/../b", "b"),
        ("proxy", True, "auto"),
        ("proxy", "V2", "v2"),
        ("hook", "a.b", "a.b"),
    ],
)
def test_it_is_read_as_gunicorn_reads_it(kind: str, value: Any, meaning: Any) -> None:
    assert convert(kind, value) == meaning


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("int", -1), ("int", "x"), ("int", None), ("bool", 1), ("text", 1), ("texts", 1)),
        *(("networks", "nginx"), ("dict", []), ("proxy", "v3"), ("hook", "x")),
    ],
)
def test_what_gunicorn_refuses_is_refused(kind: str, value: Any) -> None:
    with pytest.raises(ValueError):
        convert(kind, value)


def test_a_value_is_shown_on_one_line_and_not_too_long() -> None:
    assert [shown({"callable": "f"}), shown("a\nb"), shown("x" * 90)] == ["<f>", "'a\\nb'", f"'{'x' * 56}..."]
