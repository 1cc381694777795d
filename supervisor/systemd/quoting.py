"""Paths and words as a unit file takes them; and those that it cannot have.

systemd.syntax(7), systemd.unit(5) ("Specifiers") and systemd.service(5) ("Command lines"). Each kind of directive reads
its value in a way of its own: one whole value, a list of words, or a command line. Pure.
"""

from __future__ import annotations

PROGRAM_CANNOT = "\"'\\"  # systemd takes no program at a path with one of these, however it is written


class UnitError(Exception):
    """A unit cannot say this; the text says what to change."""


def whole(text: str) -> str:
    """The one value of a directive (``PIDFile=``, ``Description=``): only ``%`` means something there.

    Raises UnitError.
    """
    return _sayable(text).replace("%", "%%")


def listed(text: str) -> str:
    """One word of a list (``ReadWritePaths=``), where quotes hold words together and a backslash takes the next sign as
    it is.

    Raises UnitError.
    """
    text = whole(text)
    if not any(character.isspace() or character in "\"'\\" for character in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def word(text: str) -> str:
    """One argument of a command line. Raises UnitError."""
    text = _sayable(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    if text and text == escaped and not any(character.isspace() or character in "';" for character in text):
        return text
    return f'"{escaped}"'


def program(path: str) -> str:
    """The first word of a command line, in which ``$`` is itself. Raises UnitError."""
    if any(character in path for character in PROGRAM_CANNOT):
        raise UnitError(
            f"systemd runs no program at a path with quotes or backslashes ({path!r}); install releve at another path"
        )
    path = whole(path)
    return f'"{path}"' if any(character.isspace() or character == ";" for character in path) else path


def _sayable(text: str) -> str:
    """The text, unless a line of a unit file cannot hold it: it is UTF-8 without control characters.

    Raises UnitError.
    """
    if any(ord(character) < 32 or ord(character) == 127 or 0xD800 <= ord(character) < 0xE000 for character in text):
        raise UnitError(f"a unit file cannot name {text!r}: it holds control characters, or is not UTF-8; rename it")
    return text
