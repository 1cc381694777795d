"""The command line of a master."""

from __future__ import annotations

import pytest

from releve.server.__main__ import link_fd


def test_the_link_is_told_by_number() -> None:
    assert link_fd(["--link", "7"]) == 7


@pytest.mark.parametrize(
    "arguments", [[], ["--link"], ["--link", "x"], ["--link", "-1"], ["--help"], ["--link", "7", "x"]]
)
def test_anything_else_is_no_way_to_start_it(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        link_fd(arguments)
    assert "usage: releve.server --link FD" in capsys.readouterr().err
