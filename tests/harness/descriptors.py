"""The descriptors of the process that runs the tests, to see that what is tested in it closes what it takes."""

from __future__ import annotations

import asyncio
import gc
import os

from harness.workers import eventually
from releve.server.shared import closing


def descriptors() -> set[str]:
    """The numbers of those that are open.

    What earlier tests have left to the collector and to the threads that close is closed first.
    """
    gc.collect()
    eventually(_all_closed, "the threads that close have closed everything")
    return set(os.listdir("/proc/self/fd"))


async def only_open(before: set[str]) -> None:
    """Until no others are open than before: what was sent is closed by a thread, some of it when the loop comes
    to it.
    """
    async with asyncio.timeout(10):
        while set(os.listdir("/proc/self/fd")) != before:
            await asyncio.sleep(0.001)


def _all_closed() -> bool:
    return closing._closer.at_rest
