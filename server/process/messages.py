"""In master and workers: what several orders share: the files that they bring, and what a malformed one raises."""

from __future__ import annotations

from releve.config.grammar import counted
from releve.server.shared.link import Message

FILES = ("access", "log")  # those of a revision, in this order in `reload` and `reopen`


class MalformedOrder(Exception):
    """A message of the supervisor lacks what it must have, or has it in another type; nothing changed."""


def read_files(message: Message, fds: list[int]) -> dict[str, int]:
    """The log files in a ``reopen``, by name; ``fds`` stay the caller's. Raises MalformedOrder."""
    files = files_of(message)
    if len(files) != len(fds):
        raise MalformedOrder(f"cannot reopen: {counted(len(fds), 'descriptor')} for {counted(len(files), 'file')}")
    return dict(zip(files, fds, strict=True))


def files_of(message: Message) -> list[str]:
    """The log files for which a descriptor comes, after those of the listeners."""
    return [name for name in FILES if message.get(name)]


def names_of(message: Message) -> list[str]:
    """The names of the listeners, for each of which a descriptor comes first."""
    return [str(name) for name in message["listeners"]]
