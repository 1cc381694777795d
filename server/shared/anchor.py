"""The anchor: what is imported comes from where the release's links led when its generation began, however late it is
imported.

Deploys move a link (`current`). Whatever has found its way into the import system through that link (PYTHONPATH, a .pth
file, an editable install, the application's own ``sys.path.insert``) would have an old generation load the new release.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

LINKS_MAX = 40  # on one path, as the kernel has it (path_resolution(7))
FILES_MAX = 5  # in one report

log = logging.getLogger("releve.application")


def links(path: str) -> dict[str, str]:
    """Every symbolic link on the way of an absolute path: its own place, resolved, and where it leads now.

    Raises OSError.
    """
    found: dict[str, str] = {}
    here, rest, followed = "/", path.split("/")[::-1], 0
    while rest:
        place = os.path.normpath(os.path.join(here, rest.pop()))
        if not os.path.islink(place):
            here = place
            continue
        followed += 1
        if followed > LINKS_MAX:
            raise OSError(f"too many symbolic links in {path}")
        found[place] = os.path.realpath(place, strict=True)
        target = os.readlink(place)
        rest += target.split("/")[::-1]
        here = "/" if target.startswith("/") else here
    return found


def anchored(path: str, known: Mapping[str, str]) -> str:
    """A path that leads through one of some links, as if it led where that did when it was looked at; else the path as
    it is.
    """
    if not known or not os.path.isabs(path):
        return path
    result, here, rest = path, "/", path.split("/")[::-1]
    for _ in range(path.count("/") + LINKS_MAX * 16):
        if not rest:
            break
        place = os.path.normpath(os.path.join(here, rest.pop()))
        if place in known:
            here = known[place]
            result = os.path.join(here, *rest[::-1])
        elif os.path.islink(place):
            try:
                target = os.readlink(place)
            except OSError:  # it is being moved
                return result
            rest += target.split("/")[::-1]
            here = "/" if target.startswith("/") else here
        else:
            here = place
    return result


class Anchor:
    """In the master, and in its workers: the links of one release, and what the import system has of them."""

    def __init__(self, literal: str, resolved: str) -> None:
        """``literal``: the release's folder as it is configured; ``resolved``: where it led when the generation was
        pinned.
        """
        self.links: dict[str, str] = {}
        self._before: frozenset[str] = frozenset()
        try:
            if os.path.isabs(literal):
                self.links = links(literal)
        except OSError:  # it leads nowhere any more
            pass
        place = os.path.join(os.path.realpath(os.path.dirname(literal)), os.path.basename(literal))
        if os.path.isabs(literal) and os.path.realpath(literal) != resolved:  # moved since then
            self.links = {place: resolved} if place != resolved else {}

    def drop(self) -> None:
        """Before the application is imported: whatever is looked for through the links is looked for where they lead
        now.
        """
        if self.links:
            sys.path_hooks.insert(0, self._find)
            self.mend()
            self._before = frozenset(sys.modules)

    def mend(self) -> None:
        """After code that may have entered paths that lead through the links."""
        if not self.links:
            return
        self._mend_list(sys.path)
        for entry in list(sys.path_importer_cache):
            if isinstance(entry, str) and anchored(entry, self.links) != entry:
                del sys.path_importer_cache[entry]
        for name, module in list(sys.modules.items()):
            known = _names(module)
            self._mend_list(known.get("__path__"))
            if name.startswith("__editable__"):  # setuptools
                self._mend_table(known.get("MAPPING"))
                self._mend_table(known.get("NAMESPACES"))
        editable = _names(_names(sys.modules.get("editables.redirector")).get("RedirectingFinder"))  # hatch, pdm
        self._mend_table(editable.get("_redirections"))

    def astray(self) -> list[str]:
        """Files, at most a few, that the application has loaded through the links by ways that no ``sys.path`` steers;
        it is logged.
        """
        if not self.links:
            return []
        found = []
        for name, module in list(sys.modules.items()):
            file = _names(module).get("__file__")
            if name not in self._before and isinstance(file, str) and anchored(file, self.links) != file:
                found.append(file)
        files = sorted(found)[:FILES_MAX]
        if files:
            log.warning(
                "mixed code: the application loaded %s by its own path through a link that deploys change; "
                "what it loads that way later may belong to another release",
                ", ".join(files),
            )
        return files

    def _find(self, entry: str) -> Any:
        """A path hook (PEP 302): the finder of the place that an entry leads to."""
        place = anchored(entry, self.links) if isinstance(entry, str) else entry
        if place == entry:
            raise ImportError
        hooks: Iterable[Callable[[str], Any]] = sys.path_hooks
        for hook in hooks:
            try:
                return hook(place)
            except ImportError:
                continue
        raise ImportError

    def _mend_list(self, paths: object) -> None:
        if isinstance(paths, list):
            for index, path in enumerate(paths):
                if isinstance(path, str):
                    paths[index] = anchored(path, self.links)

    def _mend_table(self, table: object) -> None:
        if isinstance(table, dict):
            for key, value in table.items():
                if isinstance(value, str):
                    table[key] = anchored(value, self.links)
                else:
                    self._mend_list(value)


def _names(holder: object) -> Mapping[str, Any]:
    """What is in a module or class, without asking its ``__getattr__``."""
    try:
        return vars(holder)
    except TypeError:
        return {}
