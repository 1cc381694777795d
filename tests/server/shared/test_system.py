"""How a process has ended, in words."""

from __future__ import annotations

import pytest

from releve.server.shared.system import describe_exit


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "exited with status 0"),
        (3, "exited with status 3"),
        (-9, "was killed by SIGKILL"),
        (-63, "was killed by signal 63"),
    ],
)
def test_exits_in_words(status: int, text: str) -> None:
    assert describe_exit(status) == text
