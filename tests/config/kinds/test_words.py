"""Words: flags, choices, names and verbs."""

import pytest

from releve.config.kinds.words import (
    check_variable,
    either,
    parse_choice,
    parse_flag,
    parse_name,
    parse_text,
    parse_verb,
)


def test_a_flag_is_what_yaml_and_people_write() -> None:
    assert [parse_flag(word, {}) for word in ("true", "Yes", "on", "FALSE", "no", "off")] == [True] * 3 + [False] * 3
    with pytest.raises(ValueError, match="expected true, false or auto"):
        parse_flag("1", {"off": "auto"})


def test_a_choice_is_one_of_its_words_in_any_case() -> None:
    rules = {"choices": ("off", "release", "code")}
    assert parse_choice("Release", rules) == "release"
    for word, why in (
        ("never", "write off"),
        ("relase", "did you mean 'release'"),
        ("x", "expected off, release or code"),
    ):
        with pytest.raises(ValueError, match=why):
            parse_choice(word, rules)


def test_names_and_texts_hold_nothing_that_is_not_seen() -> None:
    assert [parse_name(name, {}) for name in ("www-data", "33", "me@example")] == ["www-data", "33", "me@example"]
    for parse, word in ((parse_name, "a b"), (parse_name, ""), (parse_text, ""), (parse_text, "a\tb")):
        with pytest.raises(ValueError):
            parse(word, {})


def test_a_verb_that_is_none_names_the_nearest() -> None:
    assert parse_verb("upgrade", {}) == "upgrade"
    for word, why in (("upgrad", "did you mean 'upgrade'"), ("x", "the verbs are status, upgrade")):
        with pytest.raises(ValueError, match=why):
            parse_verb(word, {})


def test_a_variable_that_no_program_can_be_started_with() -> None:
    check_variable("A", "b")
    for name, value in (("", "a"), ("A=B", "c"), ("A", "b\0c"), ("A", "b" * (1 << 20))):
        with pytest.raises(ValueError):
            check_variable(name, value)


def test_a_list_in_words() -> None:
    assert [either(["a"]), either(["a", "b"]), either(["a", "b", "c"])] == ["a", "a or b", "a, b or c"]
