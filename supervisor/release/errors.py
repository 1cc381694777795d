"""What a release cannot be run for, and the words of the system for it."""

from __future__ import annotations


class ReleaseError(Exception):
    """A release cannot be run; ``step`` is ``directory``, ``interpreter`` or ``environment``."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step


def reason_of(error: Exception) -> str:
    """Why, in lower case: of a failed system call without its number and path."""
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).lower()
