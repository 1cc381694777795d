"""Plurals and articles in messages."""

from __future__ import annotations

import pytest

from releve.config.grammar import counted, with_article


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 workers"), (1, "1 worker"), (2, "2 workers"), (1000, "1000 workers")]
)
def test_a_number_and_its_noun(number: int, words: str) -> None:
    assert counted(number, "worker") == words


def test_a_plural_of_its_own() -> None:
    assert counted(1, "crash", "crashes") == "1 crash"
    assert counted(3, "crash", "crashes") == "3 crashes"


@pytest.mark.parametrize(
    ("noun", "words"), [("int", "an int"), ("str", "a str"), ("Exception", "an Exception"), ("list", "a list")]
)
def test_an_article(noun: str, words: str) -> None:
    assert with_article(noun) == words
