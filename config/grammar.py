"""Grammar of messages: a number with its noun, and a noun with its article. Pure."""

from __future__ import annotations

_VOWELS = tuple("aeiou")


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 worker``, ``3 workers``; ``many`` where it is not ``one`` with an s (``crash``, ``crashes``)."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def with_article(noun: str) -> str:
    """``an int``, ``a string``: by the first letter, so not for words such as ``hour`` and ``user``."""
    return f"{'an' if noun.lower().startswith(_VOWELS) else 'a'} {noun}"
