"""A fork of the process of the tests: nothing of what it has inherited touches what it opens."""

from __future__ import annotations

import gc
import os
import socket
from typing import Any

from harness import forked

PAIRS = 50


def collect_what_was_inherited() -> int:
    """0 if all that is opened here is still open once the garbage of the tests' process has been collected."""
    mine = [os.pipe() for _ in range(PAIRS)]
    gc.collect()
    for read_end, write_end in mine:
        os.write(write_end, b"x")
        if os.read(read_end, 2) != b"x":
            return 1
    return 0


def test_garbage_of_the_tests_closes_nothing_of_the_fork() -> None:
    """Two clients of the strict one would share a descriptor's number, and each get what is the other's."""
    garbage: list[list[Any]] = []
    for _ in range(PAIRS):
        garbage.append([*socket.socketpair()])
        garbage[-1].append(garbage[-1])  # only a collection frees it
    gc.disable()
    try:
        garbage.clear()
        process = forked.Process(collect_what_was_inherited)
    finally:
        gc.enable()
        gc.collect()
    assert process.wait(30) == 0
