"""What a shell completes a value to, by the word that stands for it."""

import click
import pytest

from releve.config.completion import by_metavar


@pytest.mark.parametrize(
    ("metavar", "typed", "found"),
    [
        ("off|release|code", "", [("off", "plain"), ("release", "plain"), ("code", "plain")]),
        ("off|release|code", "c", [("code", "plain")]),
        ("FILE", "re", [("re", "file")]),
        ("FOLDER", "", [("", "dir")]),
        ("N", "3", []),
        (None, "3", []),
    ],
)
def test_by_metavar(metavar: str | None, typed: str, found: list[tuple[str, str]]) -> None:
    option = click.Option(["--x"], metavar=metavar)
    items = by_metavar(click.Context(click.Command("x")), option, typed)
    assert [(item.value, item.type) for item in items] == found
