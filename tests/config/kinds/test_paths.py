"""Paths as they are written."""

import pytest

from releve.config.kinds.paths import join, parse_log, parse_path, parse_python


def test_a_home_is_expanded_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert parse_path("~/site", {}) == "/home/somebody/site"
    with pytest.raises(ValueError, match="~nobody-of-that-name has no home folder here"):
        parse_path("~nobody-of-that-name/x", {})


def test_a_log_may_be_a_dash_and_an_interpreter_is_never_looked_up() -> None:
    assert [parse_log("-", {}), parse_log("x.log", {})] == ["-", "x.log"]
    assert parse_python(".venv/bin/python", {}) == ".venv/bin/python"
    with pytest.raises(ValueError, match="expected a path such as"):
        parse_python("python3", {})


def test_a_relative_path_starts_in_its_folder_and_keeps_its_detours() -> None:
    assert [join("/srv", "a"), join("/srv", "/a"), join("/srv", "../a")] == ["/srv/a", "/a", "/srv/../a"]
