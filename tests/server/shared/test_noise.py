"""Noise: the log says once what was passed over, then how often; a sender of nothing else is told apart."""

from __future__ import annotations

from releve.server.shared.noise import EVERY_S, MINUTE_S, TOO_MUCH, Noise


class Clock:
    now = 1000.0


def test_it_is_said_once_and_then_how_often() -> None:
    said: list[str] = []
    noise = Noise(said.append, lambda: Clock.now)
    for _ in range(3):
        noise.hear("a message that is not JSON")
    assert said == ["ignored a message that is not JSON"]
    Clock.now += EVERY_S
    noise.hear("another one")
    assert said[1:] == ["ignored another one (and 2 more since the last such line)"]


def test_too_much_is_what_comes_within_a_minute() -> None:
    noise = Noise(lambda line: None, lambda: Clock.now)
    for _ in range(TOO_MUCH):
        noise.hear("it")
    assert not noise.too_much
    Clock.now += MINUTE_S + 1
    noise.hear("it")
    assert not noise.too_much
    for _ in range(TOO_MUCH):
        noise.hear("it")
    assert noise.too_much
