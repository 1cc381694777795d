"""Where lines go, in words."""

from __future__ import annotations

from typing import Any

import pytest

from releve.ctl.logs.place import place


@pytest.mark.parametrize(
    ("said", "words", "refused"),
    [
        ({"to": "file", "path": "/var/log/a\x1b.log"}, "file /var/log/a\\x1b.log", ""),
        ({"to": "journal", "unit": "shop.service"}, "systemd's journal, shop.service", ""),
        (
            {"to": "terminal", "path": "/dev/pts/3"},
            "the supervisor's terminal (/dev/pts/3)",
            "set log.file, as /var/log",
        ),
        ({"to": "pipe"}, "a pipe or socket of the program", "it goes to a pipe or socket"),
        ({"to": "nowhere", "path": "/dev/null"}, "nowhere: its standard streams are /dev/null", "it goes to nowhere"),
        (None, "an unknown place", "it goes to an unknown place"),
    ],
)
def test_a_place(said: Any, words: str, refused: str) -> None:
    found = place("log.file", said)
    assert words in found.words()
    assert refused in (found.refusal() or "") and bool(found.refusal()) is bool(refused)


def test_an_access_log_that_is_off() -> None:
    assert "log.access is off" in (place("log.access", {"to": "off"}).refusal() or "")
