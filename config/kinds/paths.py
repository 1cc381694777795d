"""Paths, of files, folders and interpreters, as they are written; none is looked up."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

from releve.config.kinds.words import parse_text
from releve.config.settings.key import Rules


def parse_path(text: str, rules: Rules) -> str:
    """A path with its ``~`` expanded; the caller joins a relative one to its folder (``join``)."""
    path = os.path.expanduser(parse_text(text, rules))
    if path.startswith("~"):
        raise ValueError(f"{path.split('/')[0]} has no home folder here; write the path in full")
    return path


def parse_log(text: str, rules: Rules) -> str:
    """The path of a file, or ``-``."""
    return text if text == "-" else parse_path(text, rules)


def parse_python(text: str, rules: Rules) -> str:
    """The path of an interpreter; a bare name is not looked up, since PATH is not part of a release."""
    if "/" not in text:
        raise ValueError("expected a path such as .venv/bin/python or /usr/bin/python3")
    return parse_path(text, rules)


def join(folder: str, path: str) -> str:
    """``path`` made absolute in ``folder``, links not followed and ``..`` kept: where it leads is found anew for each
    generation.
    """
    return str(PurePosixPath(folder, path))
