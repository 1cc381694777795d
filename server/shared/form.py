"""Forms: what a message must say and may say, key by key, and what descriptors come with it.

Pure, but for a look at those.

Whoever receives messages has one table of forms, and reads each message by it before anything else sees it (``read``).
A key that the table does not name is passed on as it is, and a type that it does not name is nobody's business: the two
sides are different releases. What is there must be what it is taken for: a number is finite and within bounds, a text
has no half characters, a list is no longer than it can sensibly be.
"""

from __future__ import annotations

import fcntl
import math
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from releve.config.frozen import dataclass
from releve.config.grammar import counted, with_article
from releve.server.shared.link import MESSAGE_MAX_BYTES, Message
from releve.server.shared.native import os, socket

NUMBER_MAX = 2**53  # what any JSON reader keeps exactly
SECONDS_MAX = 1e9
WAIT_MAX_S = 14 * 86400.0  # twice the longest duration of a setting; poll(2) counts milliseconds in an int, 25 days
LIST_MAX = 1000
PATH_MAX = 4096  # characters: limits.h
_WORD = re.compile(r"[a-z][a-z0-9_ -]{0,39}")

Read = Callable[[Any], Any]  # the value as it is fit to be used. Raises Unfit
Kind = Callable[[int], bool]  # whether a descriptor is what it is taken for. Raises OSError for one that is closed


class Unfit(Exception):
    """What came is not what it is taken for; nobody has seen it."""


@dataclass(frozen=True, slots=True)
class Form:
    """One type of message. Null counts as absent. More descriptors than ``brings`` are the reader's to close."""

    needs: Mapping[str, Read] = field(default_factory=dict)
    may: Mapping[str, Read] = field(default_factory=dict)
    brings: Sequence[tuple[str, Kind]] = ()  # each with its name, for the log


def read(forms: Mapping[str, Form], message: Message, fds: Sequence[int]) -> Message | None:
    """The message with its values fit to be used; None if no form is for it. Raises Unfit with the reason."""
    kind = message.get("type")
    form = forms.get(kind) if isinstance(kind, str) else None
    if form is None:
        return None
    said = {key: value for key, value in message.items() if value is not None}
    if missing := next((key for key in form.needs if key not in said), None):
        raise Unfit(f"{kind} without {missing}")
    for key, fit in (*form.needs.items(), *form.may.items()):
        if key in said:
            try:
                said[key] = fit(said[key])
            except Unfit as error:
                raise Unfit(f"{kind} whose {key} is {error}") from None
    if len(fds) < len(form.brings):
        raise Unfit(f"{kind} with {counted(len(fds), 'descriptor')}, not {len(form.brings)}")
    for fd, (name, is_one) in zip(fds, form.brings, strict=False):
        check(fd, name, is_one)
    return said


def check(fd: int, name: str, is_one: Kind) -> None:
    """Raises Unfit for a descriptor that is not what it is taken for."""
    try:
        found = is_one(fd)
    except OSError as error:
        raise Unfit(f"a descriptor that cannot be examined: {error.strerror}") from error
    if not found:
        raise Unfit(f"a descriptor that is not {with_article(name)}")


# Values


def whole(least: int = 0, most: int = NUMBER_MAX) -> Read:
    """A whole number between the two, both included."""

    def fit(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:  # bool is an int
            raise Unfit(f"not a whole number from {least} to {most}")
        return value

    return fit


def number(least: float = 0.0, most: float = SECONDS_MAX) -> Read:
    """A number, as a float."""

    def fit(value: Any) -> float:
        if type(value) not in (int, float) or not least <= value <= most or not math.isfinite(value):
            raise Unfit(f"not a number from {least:g} to {most:g}")
        return float(value)

    return fit


seconds = number(0.0, WAIT_MAX_S)  # that somebody waits


def text(most: int = MESSAGE_MAX_BYTES) -> Read:
    """A text that can be encoded: half of a pair of surrogates, as a file name may bring it, is written as an
    escape.
    """

    def fit(value: Any) -> str:
        if type(value) is not str or len(value) > most:
            raise Unfit(f"not a text of at most {most} characters")
        return value.encode("utf-8", "backslashreplace").decode()

    return fit


def path(value: Any) -> str:
    """A path that a system call takes."""
    if type(value) is not str or len(value) > PATH_MAX or "\0" in value:
        raise Unfit(f"not a path of at most {PATH_MAX} characters")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        raise Unfit("not a path: it has half a character") from None
    return value


def word(value: Any) -> str:
    """A name of something that either side may have more of than the other: lower case, short."""
    if type(value) is not str or not _WORD.fullmatch(value):
        raise Unfit("not a word")
    return value


def flag(value: Any) -> bool:
    """True or false, and no number in their place."""
    if type(value) is not bool:
        raise Unfit("neither true nor false")
    return value


def several(one: Read, most: int = LIST_MAX) -> Read:
    """A list of what ``one`` reads."""

    def fit(value: Any) -> list[Any]:
        if type(value) is not list or len(value) > most:
            raise Unfit(f"not a list of at most {most}")
        return [one(item) for item in value]

    return fit


# Descriptors


def is_stream(fd: int) -> bool:
    """A stream socket that does not listen: a connection, or what was one."""
    return _socket_type(fd) == socket.SOCK_STREAM and _option(fd, socket.SO_ACCEPTCONN) == 0


def is_packets(fd: int) -> bool:
    """One end of a pair for whole messages."""
    return (
        _socket_type(fd) == socket.SOCK_SEQPACKET
        and _option(fd, socket.SO_DOMAIN) == socket.AF_UNIX
        and _option(fd, socket.SO_ACCEPTCONN) == 0
    )


def is_memory(least: int = 0, most: int = 1 << 30) -> Kind:
    """A memory file (memfd_create(2)) of so many bytes; only those, and files of a tmpfs, have seals."""

    def is_one(fd: int) -> bool:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or not least <= found.st_size <= most:
            return False
        try:
            fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        except OSError:
            return False
        return True

    return is_one


def is_file(fd: int) -> bool:
    """A regular file, whatever it can be opened for."""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def is_pidfd(fd: int) -> bool:
    """A process, alive or dead (pidfd_open(2))."""
    os.fstat(fd)  # a number that is not open, or was not when this began, must not be looked up as another file's name
    with open(f"/proc/self/fdinfo/{fd}", encoding="latin-1") as file:
        return any(line.startswith("Pid:") for line in file)


def _socket_type(fd: int) -> int:
    return _option(fd, socket.SO_TYPE) if stat.S_ISSOCK(os.fstat(fd).st_mode) else -1


def _option(fd: int, name: int) -> int:
    borrowed = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd)
    try:
        return borrowed.getsockopt(socket.SOL_SOCKET, name)
    finally:
        borrowed.detach()
