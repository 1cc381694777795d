"""The attempts that a supervisor keeps: the last ones, those since a time, or one of them.

A history may be longer than one answer. Those since a time are asked for in growing numbers, until one is older than
that.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime

from releve.config.grammar import counted
from releve.ctl.order import Order, answer
from releve.ctl.screens import history, render
from releve.instance.protocol import Event, Status

COUNTS = (20, 100, 500, 2500)  # a history keeps fewer than the last
SHOWN = COUNTS[0]  # where nobody says how many, nor since when


def last(order: Order, limit: int | None) -> Event:
    """The result with the last ones."""
    result = _ask(order, limit or SHOWN)
    _say_left_out(result)
    return result


def since(order: Order, time: datetime, limit: int | None) -> Event:
    """The result with those that began at ``time`` or later, and at most ``limit`` of them."""
    result: Event = {}
    for count in COUNTS:
        before, result = result, _ask(order, count)
        if result["status"] == Status.UNEXPECTED and before:  # an older supervisor answers more than ctl reads
            render.say(f"older attempts are not shown: {render.line(result['message'])}")
            result = before
            break
        known = history.entries(result)
        found = history.entries(history.newest(result, time, limit))
        if len(known) + _left_out(result) < count or len(found) < len(known):
            break
    if len(found) == len(known):
        _say_left_out(result)
    return history.newest(result, time, limit)


def one(order: Order, number: int) -> Event:
    """The result with this attempt alone, in full."""
    result = answer(dataclasses.replace(order, arguments={"attempt": number}))
    return {**result, "whole": True} if result["status"] == Status.DONE else result


def _ask(order: Order, count: int) -> Event:
    return answer(dataclasses.replace(order, arguments={"limit": count}))


def _left_out(result: Event) -> int:
    count = result.get("left_out")
    return count if isinstance(count, int) else 0


def _say_left_out(result: Event) -> None:
    if count := _left_out(result):
        render.say(f"not shown, for lack of room in the answer: {counted(count, 'older attempt')}")
