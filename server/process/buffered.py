"""In master and workers: what the interpreter does to files when it ends, done by hand where a process ends without
that.

Buffers are written, archives get their ends, and temporary files are removed.

What the import has opened is remembered before the fork: who looked for it later would touch, and so copy, every object
of the application in every worker that ends.
"""

from __future__ import annotations

import gc
import io
import sys
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

_TEXT = (io.TextIOWrapper,)
_BYTES = (io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair)
# By their modules: these write an end of their own, or remove a file, when they are taken apart. One may go through
# those after it.
_ENDING = (
    ("shelve", "Shelf"),
    ("dbm.dumb", "_Database"),
    ("zipfile", "ZipFile"),
    ("gzip", "GzipFile"),
    ("bz2", "BZ2File"),
    ("lzma", "LZMAFile"),
)
_TEMPORARY = (("tempfile", "_TemporaryFileCloser"),)  # of a NamedTemporaryFile
_MRO: Any = type.__dict__["__mro__"]

_inherited: list[weakref.ref[Any]] = []
_temporary: list[weakref.ref[Any]] = []


def remember() -> None:
    """In the master, before it forks: flush what the import has written, or each worker would write it, and remember
    the files.
    """
    objects = gc.get_objects()
    found = [*of(objects, _TEXT), *of(objects, _BYTES)]
    _flush(found)
    _inherited[:] = _refs(found)
    _temporary[:] = _refs(of(objects, _known(_TEMPORARY)))


def flush() -> None:
    """In the worker, at its end: write what is in the buffers of all files, and bring those to an end that it has
    opened itself.
    """
    mine = gc.get_objects()  # without those that were frozen before the fork
    inherited = _living(_inherited)
    _flush([*of(mine, _TEXT), *of(inherited, _TEXT)])  # first, since a text goes through the others
    for kind in _known(_ENDING):
        _end(of(mine, (kind,)))
    _flush([*of(mine, _BYTES), *of(inherited, _BYTES)])
    _end(of(mine, _known(_TEMPORARY)))


def close_temporary() -> None:
    """In the master, at its end: remove the files of ``tempfile`` that the import has made for all workers."""
    _end(_living(_temporary))


def _flush(files: Iterable[Any]) -> None:
    for file in files:
        with suppress(Exception):  # closed, or open for reading, or its disk is full
            file.flush()


def _end(objects: Iterable[Any]) -> None:
    for one in objects:
        with suppress(Exception):
            one.__del__()


def _refs(objects: Iterable[Any]) -> list[weakref.ref[Any]]:
    found = []
    for one in objects:
        with suppress(TypeError):  # a type that has none
            found.append(weakref.ref(one))
    return found


def _living(refs: Iterable[weakref.ref[Any]]) -> list[Any]:
    return [one for one in (ref() for ref in refs) if one is not None]


def _known(names: Iterable[tuple[str, str]]) -> tuple[type, ...]:
    """Those of them whose modules are imported."""
    kinds = (getattr(sys.modules.get(module), name, None) for module, name in names)
    return tuple(kind for kind in kinds if isinstance(kind, type))


def of(objects: Iterable[Any], kinds: tuple[type, ...]) -> list[Any]:
    """Those of some types.

    By identity: to ask a proxy for its class, or a metaclass for a hash, may run the application's code.
    """
    wanted_ids = {id(kind) for kind in kinds}
    known: dict[int, bool] = {}
    found = []
    for one in objects:
        kind = type(one)
        wanted = known.get(id(kind))
        if wanted is None:
            wanted = known[id(kind)] = not wanted_ids.isdisjoint(map(id, _MRO.__get__(kind)))
        if wanted:
            found.append(one)
    return found
