"""Which commit a release is of, read from the files of git where its folder is a work tree: nothing is run.

Whose release it is may have written anything there: a ref is looked up among refs alone, and no FIFO is waited for.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import IO

from releve.instance import paths

_REF = re.compile(r"refs(?:/(?!\.)[^/\x00-\x20\x7f]+)+")  # as far as it matters here: git-check-ref-format(1)
_PACKED_MAX = 8 << 20  # characters: of that many, tens of thousands of branches and tags


def git_revision(directory: str) -> str | None:
    """The commit that a work tree has checked out, read from the files of git; None where that cannot be told."""
    try:
        git = os.path.join(directory, ".git")
        if os.path.isfile(git):  # a linked work tree: gitdir: PATH
            git = os.path.join(directory, _first_line(git).removeprefix("gitdir:").strip())
        head = _first_line(os.path.join(git, "HEAD"))
        if not head.startswith("ref:"):
            return _commit(head)
        return _find_ref(git, head.removeprefix("ref:").strip())
    except (OSError, ValueError):
        return None


def _find_ref(git: str, ref: str) -> str | None:
    """The commit of a branch: a file of its own, or a line of ``packed-refs``; gitrepository-layout(5)."""
    if not _REF.fullmatch(ref):  # whose release it is may have written anything there: a path to somewhere else, too
        return None
    common = git
    with contextlib.suppress(FileNotFoundError):
        common = os.path.join(git, _first_line(os.path.join(git, "commondir")))
    for folder in (git, common):
        with contextlib.suppress(FileNotFoundError):
            return _commit(_first_line(os.path.join(folder, ref)))
    with _open(os.path.join(common, "packed-refs")) as file:
        for line in file.read(_PACKED_MAX).splitlines():
            commit, _, name = line.strip().partition(" ")
            if name == ref:
                return _commit(commit)
    return None


def _commit(text: str) -> str | None:
    return text if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) else None


def _first_line(path: str) -> str:
    with _open(path) as file:
        return file.readline(4096).strip()


@contextlib.contextmanager
def _open(path: str) -> Iterator[IO[str]]:
    """A regular file. The folder may belong to somebody who puts a FIFO there, at which we would wait for ever."""
    with open(paths.open_regular(path), encoding="utf-8") as file:
        yield file
