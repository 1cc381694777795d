"""The file of ``env_file``: lines of NAME=value, read anew for each generation."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable

from releve.config import kernel
from releve.config.errors import ConfigError, Place, Problem

FILE_MAX_BYTES = 1 << 20

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(?P<value>.*)")
_SINGLE = re.compile(r"'(?P<text>[^']*)'\s*(?:#.*)?")
_DOUBLE = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def read_env_file(path: str | os.PathLike[str], opener: Callable[[str, int], int] | None = None) -> dict[str, str]:
    """The variables in the file ``path``; of a name given twice, the last. ``opener``: as of ``open``.

    A line is ``NAME=value``, perhaps after ``export``. Blank lines and ``#``
    comments are skipped, also behind a value. Within single quotes everything is
    literal, within double quotes ``\\n``, ``\\t``, ``\\r`` and an escaped character
    are understood. ``$`` has no meaning. Raises ConfigError with every problem.
    """
    source = os.fspath(path)
    try:
        with open(path, "rb", opener=opener or _without_waiting) as file:
            data = file.read(FILE_MAX_BYTES + 1) or b""
        if len(data) > FILE_MAX_BYTES:
            raise ValueError(f"it is larger than {FILE_MAX_BYTES} bytes")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([Problem(Place(source), "cannot read env_file: it is not UTF-8")]) from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ConfigError([Problem(Place(source), f"cannot read env_file: {reason}")]) from None
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            name, value = _assignment(stripped)
            if (reason := kernel.variable_objection(name, value)) is not None:
                raise ValueError(reason)
        except ValueError as error:
            problems.append(Problem(Place(source, number), f"cannot use this line: {error}"))
        else:
            found[name] = value
    if problems:
        raise ConfigError(problems)
    return found


def _without_waiting(path: str, flags: int) -> int:
    """An opener that waits for nobody: a supervisor that did would serve no command meanwhile."""
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is a FIFO, not a file")
    return fd


def _assignment(line: str) -> tuple[str, str]:
    """Name and value of one line. Its text never stands in an error: env files hold secrets."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("expected NAME=value")
    name, written = match["name"], match["value"]
    if "\0" in written:
        raise ValueError(f"{name} has a NUL character")
    if not written.startswith(("'", '"')):
        return name, _COMMENT.sub("", written)
    quoted = (_SINGLE if written.startswith("'") else _DOUBLE).fullmatch(written)
    if quoted is None:
        raise ValueError(
            f"the quotes of {name} are not closed on this line (write a line break as \\n in double "
            "quotes), or text follows them"
        )
    if written.startswith("'"):
        return name, quoted["text"]
    return name, _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted["text"])
