"""What somebody wrote, before it means anything: text, lists and blocks, each with its place.

YAML, PasteDeploy files, variables and flags all become this, so that one reader (``build``) and one set of rules
(``kinds``) serve them all.
"""

from __future__ import annotations

from pathlib import Path

from releve.config.errors import Place
from releve.config.frozen import dataclass

Content = None | str | list["Written"] | dict[str, "Written"]


@dataclass(frozen=True, slots=True)
class Written:
    """One node: ``content`` is text as written, a list, a block of keys, or None (nothing was written).

    ``place`` is where it stands and ``named_at`` where its key does; relative
    paths in it start in ``folder``.
    """

    content: Content
    place: Place
    named_at: Place
    folder: str

    def described(self) -> str:
        """It, in the words of an error message."""
        match self.content:
            case None:
                return "an empty value"
            case str(text):
                return repr(text if len(text) <= 80 else text[:77] + "...")
            case list():
                return "a list"
            case _:
                return "a block of keys"


@dataclass(frozen=True, slots=True)
class Document:
    """All that one configuration says: ``path`` is its file (absolute) or None, ``included`` are the others that took
    part.
    """

    written: Written
    path: Path | None
    included: tuple[Path, ...] = ()
