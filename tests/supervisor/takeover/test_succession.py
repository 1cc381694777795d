"""What one supervisor hands to the program that replaces it: understood by newer and older ones."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness import peers
from releve.supervisor.channels.worker import LastExit
from releve.supervisor.takeover import succession
from releve.supervisor.takeover.succession import SuccessionError


def handed(**changes: Any) -> dict[str, Any]:
    """What the first version hands over."""
    whole: dict[str, Any] = json.loads(peers.SUCCESSION.read_text())
    return {**whole, **changes}


def read(packed: dict[str, Any]) -> succession.Succession:
    fd = succession.write(packed)
    try:
        return succession.read(fd)
    finally:
        os.close(fd)


def test_every_descriptor_is_named() -> None:
    assert sorted(read(handed()).descriptors) == [5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]


def test_what_a_newer_one_adds_is_passed_over() -> None:
    packed = handed(version=7, novelty={"a": 1})
    packed["bequest"]["novelty"] = packed["generations"][0]["novelty"] = packed["generations"][0]["pin"]["novelty"] = 1
    packed["generations"][0]["pin"]["settings"]["novelty"] = 1
    packed["generations"][0]["workers"][0]["last_exit"] = ["worker 1 was killed", 5.0, "a novelty"]
    found = read(packed)
    assert found.bequest.lock == 5 and found.going_on == (9, 1.0) and found.generations == 1


def test_what_an_older_one_does_not_say_has_defaults() -> None:
    packed = handed()
    packed["bequest"] = {"runtime": "/run/a", "state": "/var/a", "lock": 5, "control": 6}
    for key in ("inherited", "relays"):
        del packed[key]
    found = read(packed)
    assert found.bequest.conversations == () and found.going_on is None
    assert sorted(found.descriptors) == [5, 6, 10, 11, 12, 13, 14, 15, 16, 17]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda packed: packed.update(reads=2),
        lambda packed: packed.pop("generations"),
        lambda packed: packed["bequest"].pop("lock"),
        lambda packed: packed["generations"][0].update(state="dreaming"),
        lambda packed: packed["generations"][0].pop("pin"),
        lambda packed: packed["generations"][0].update(link="ten"),
        lambda packed: packed["generations"][0]["workers"][0].update(last_exit=["worker 1 was killed"]),
        lambda packed: packed["generations"][0]["workers"][0].update(last_exit=["worker 1 was killed", "at noon"]),
    ],
)
def test_what_cannot_be_understood_is_refused(spoil: Any) -> None:
    packed = handed()
    spoil(packed)
    with pytest.raises(SuccessionError, match="cannot "):
        read(packed)


def test_no_json(tmp_path: Path) -> None:
    (tmp_path / "it").write_text(json.dumps([1]))
    fd = os.open(tmp_path / "it", os.O_RDONLY)
    with pytest.raises(SuccessionError):
        succession.read(fd)
    os.close(fd)


def test_of_how_the_one_before_a_worker_ended_what_is_known_here_is_read() -> None:
    newer = {"last_exit": ["worker 1 was killed", 5, "a novelty"]}
    assert succession._last_exit(newer) == LastExit("worker 1 was killed", 5.0)
    assert succession._last_exit({}) is succession._last_exit({"last_exit": None}) is None
