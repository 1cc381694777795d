"""Packages for a pip that has no network: the ones installed here, as wheels again."""

from __future__ import annotations

import importlib.metadata
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

OURS = "releve"
PERSONAL = ("INSTALLER", "REQUESTED", "direct_url.json")  # what the installation here has added


def needed(names: Iterable[str]) -> set[str]:
    """These distributions and what they require, as far as it is installed; extras left out."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform or Python
        if name not in found:
            found.add(name)
            waiting += [re.match(r"[\w.-]+", one)[0] for one in requires if not re.search("extra ==|win32", one)]  # type: ignore[index]
    return found


def repack(name: str, folder: Path) -> Path:
    """A wheel of an installed distribution, in a folder; without its words in other languages than English, which are
    two files in three of Django's.
    """
    dist = importlib.metadata.distribution(name)
    tag = re.search(r"^Tag: (\S+)", dist.read_text("WHEEL") or "", re.MULTILINE)
    assert tag and dist.files, name
    plain = re.sub(r"[-_.]+", "_", dist.metadata["Name"])
    wheel = folder / f"{plain}-{dist.version}-{tag[1]}.whl"
    with zipfile.ZipFile(wheel, "w") as made:
        for file in dist.files:
            foreign = "LC_MESSAGES" in file.parts and "en" not in file.parts
            kept = ".." not in file.parts and "__pycache__" not in file.parts and file.name not in PERSONAL
            if kept and not foreign and (path := Path(str(file.locate()))).is_file():
                made.write(path, str(file))
    return wheel
