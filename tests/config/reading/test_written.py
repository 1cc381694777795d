"""What was written, in the words of an error message."""

import pytest

from releve.config.errors import Place
from releve.config.reading.written import Content, Written

PLACE = Place("releve.yaml", 1, 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "an empty value"),
        ("x", "'x'"),
        ("x" * 80, f"'{'x' * 80}'"),
        ("x" * 81, f"'{'x' * 77}...'"),
        ([], "a list"),
        ({}, "a block of keys"),
    ],
)
def test_described(content: Content, words: str) -> None:
    assert Written(content, PLACE, PLACE, "/").described() == words
