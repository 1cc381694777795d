"""Modules, functions and applications by name."""

import pytest

from releve.config.kinds.objects import parse_app, parse_function, parse_module
from releve.server.wsgi.application import parse_target


@pytest.mark.parametrize(
    "app", ["a:b", "a.b:c.d", "größe:app", "a:make()", "a:make('x/y', 1, k=[True, None])", 'a:make({"k": "v:w.py"})']
)
def test_calls_with_literals_are_applications(app: str) -> None:
    assert parse_app(app, {}) == app
    parse_target(app)


@pytest.mark.parametrize(
    "app",
    [
        "a:make(x)",
        "a:b(__import__('os'))",
        "a b:c",
        "3a:b",
        "a:make(*[1])",
        "a:make(**{})",
        "a:make(f())",
        "a:make(1)()",
        "a:make('x'",
        "a:make(1).b",
        "a:(1)",
        "a:make(1) ",
    ],
)
def test_other_calls_are_none(app: str) -> None:
    with pytest.raises(ValueError, match="expected module:object"):
        parse_app(app, {}) if not app.endswith(" ") else parse_app(f"{app}or b", {})


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
