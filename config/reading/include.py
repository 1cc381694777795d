"""Files that a configuration includes: which they are, and how they and the main one make one document.

Only the main file includes; so there are no loops, and all of a service's files are named in one place.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from pathlib import Path

from releve.config.errors import ConfigError, Problem
from releve.config.reading.written import Written
from releve.config.settings.settings import GROUPS

KEY = "include"
MERGED = frozenset({*GROUPS, "mounts", "env"})  # blocks to which several files may add; all else stands in one

Parse = Callable[[Path], Written]  # raises ConfigError


def included(document: Written) -> list[Path]:
    """The files that ``document`` includes, each pattern's sorted by name. Raises ConfigError.

    A pattern that matches nothing is fine; a name without ``*``, ``?`` or ``[`` must be a file. Hidden files match only
    a pattern that says the dot.
    """
    written = document.content.get(KEY) if isinstance(document.content, dict) else None
    if written is None or written.content is None:
        return []
    found: dict[Path, None] = {}
    problems: list[Problem] = []
    for item in written.content if isinstance(written.content, list) else [written]:
        if not isinstance(item.content, str) or not item.content:
            continue  # the reader of the key says so
        path = os.path.join(item.folder, os.path.expanduser(item.content))
        if glob.has_magic(path[len(item.folder) :]):
            base = item.folder if not os.path.isabs(item.content) else None
            names = glob.glob(item.content, root_dir=base)
            found |= dict.fromkeys(
                Path(item.folder, name) for name in sorted(names) if os.path.isfile(os.path.join(item.folder, name))
            )
        elif os.path.isfile(path):
            found[Path(path)] = None
        else:
            problems.append(Problem(item.place, f"cannot include {item.content!r}: no such file"))
    if problems:
        raise ConfigError(problems)
    return list(found)


def merge(document: Written, files: list[Path], parse: Parse) -> Written:
    """``document`` with what ``files`` add. Raises ConfigError, with every problem found; each names its file."""
    if not files or not isinstance(document.content, dict):
        return document
    entries = dict(document.content)
    problems: list[Problem] = []
    for path in files:
        try:
            other = parse(path)
        except ConfigError as error:
            problems.extend(error.problems)
            continue
        if other.content is None:
            continue
        if not isinstance(other.content, dict):
            problems.append(
                Problem(other.place, f"cannot use {other.described()} as an included configuration: expected keys")
            )
            continue
        for name, written in other.content.items():
            if name == KEY:
                problems.append(
                    Problem(written.named_at, "cannot include from an included file: only the main one includes")
                )
            else:
                entries[name] = _add(name, entries.get(name), written, problems)
    if problems:
        raise ConfigError(problems)
    return Written(entries, document.place, document.named_at, document.folder)


def _add(name: str, first: Written | None, second: Written, problems: list[Problem]) -> Written:
    """What two files say of one key: the blocks of both, or a problem that names both places."""
    if first is None:
        return second
    if name not in MERGED or not isinstance(first.content, dict) or not isinstance(second.content, dict):
        problems.append(Problem(second.named_at, f"cannot use {name!r} twice: it is at {first.named_at} already"))
        return first
    block = dict(first.content)
    for key, written in second.content.items():
        if key in block:
            problems.append(
                Problem(written.named_at, f"cannot use {key!r} in {name} twice: it is at {block[key].named_at} already")
            )
        else:
            block[key] = written
    return Written(block, first.place, first.named_at, first.folder)
