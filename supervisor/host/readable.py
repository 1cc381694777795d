"""Waiting for a descriptor: until there is something to read, or, of a pidfd, until its process has ended."""

from __future__ import annotations

import asyncio


async def readable(fd: int) -> None:
    """Return as soon as ``fd`` is readable, as a pidfd is from the end of its process on (pidfd_open(2)).

    Nobody else may wait for it at the same time.
    """
    loop, come = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, come.set)
    try:
        await come.wait()
    finally:
        loop.remove_reader(fd)
