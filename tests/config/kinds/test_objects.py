"""Modules, functions and applications by name."""

import pytest

from releve.config.kinds.objects import parse_app, parse_function, parse_module


@pytest.mark.parametrize("app", ["a:b", "a.b:c.d", "a:make()", "a:make('x', n=[1, {2: None}])", "größe:app"])
def test_an_application_is_an_object_or_a_call_of_literals(app: str) -> None:
    assert parse_app(app, {}) == app


@pytest.mark.parametrize("app", ["a:b(x)", "a:b(**{})", "a:b()()", "a:b(__import__('os'))", "a:b(", "a b:c", "3a:b"])
def test_nothing_of_it_would_be_evaluated(app: str) -> None:
    with pytest.raises(ValueError):
        parse_app(app, {})


def test_functions_and_modules() -> None:
    assert parse_function("a.b:C.start", {}) == "a.b:C.start"
    assert parse_module("a.b", {}) == "a.b"
    for parse, word, why in (
        (parse_function, "a:b()", "write a:b"),
        (parse_function, "a", "expected module:function"),
        (parse_module, "a/b.py", "expected the dotted name"),
    ):
        with pytest.raises(ValueError, match=why):
            parse(word, {})
