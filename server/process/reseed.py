"""In master and workers: random generators that the import has made, which would repeat each other in all workers
forked from it.

CPython seeds the functions of ``random`` anew in a forked child, and nothing else. So the master notes which objects of
``random.Random`` the import makes without a seed, and finds those of numpy; each worker seeds them anew. One that was
given a seed keeps it, since somebody counts on what it says.
"""

from __future__ import annotations

import gc
import logging
import random
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from releve.config.grammar import counted
from releve.server.process import buffered
from releve.server.shared.native import os

NAMED_MAX = 5
DRAWN_BITS = 96  # a SeedSequence without a seed draws 128 bits; fewer than these come once in 2**32

log = logging.getLogger("releve.master")

_unseeded: dict[int, tuple[weakref.ref[random.Random], str]] = {}  # by id(); with where it was made
_numpys: list[Any] = []  # bit generators; they cannot be held weakly


@contextmanager
def noted() -> Iterator[None]:
    """Note which generators are made without a seed meanwhile."""
    kind: Any = random.Random
    seed, setstate = kind.seed, kind.setstate

    def noting_seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        seed(self, a, version)
        if a is None:
            _unseeded[id(self)] = weakref.ref(self), _place()
        else:
            _unseeded.pop(id(self), None)

    def noting_setstate(self: random.Random, state: Any) -> None:
        setstate(self, state)
        _unseeded.pop(id(self), None)

    kind.seed, kind.setstate = noting_seed, noting_setstate
    try:
        yield
    finally:
        if kind.seed is noting_seed:
            kind.seed = seed
        if kind.setstate is noting_setstate:
            kind.setstate = setstate
        for key in [key for key, (ref, _) in _unseeded.items() if isinstance(ref(), (type(None), random.SystemRandom))]:
            del _unseeded[key]


def remember() -> None:
    """In the master, before it forks: find those of numpy, and say in the log what will be seeded anew."""
    _numpys[:] = _bit_generators()
    places = [place for _, place in _unseeded.values()] + ["numpy"] * bool(_numpys)
    if places:
        count = len(_unseeded) + len(_numpys)
        what = counted(count, "random generator")
        where = ", ".join(list(dict.fromkeys(places))[:NAMED_MAX])
        log.info("the import created %s without a seed (%s): each worker seeds its own again", what, where)


def seed_anew() -> None:
    """In a worker that was forked from a master that has imported the application."""
    for ref, place in _unseeded.values():
        one = ref()
        if one is not None:
            _seed(one.seed, place)
    for bits in _numpys:
        _seed(partial(_renew, bits), "numpy")
    numpy: Any = sys.modules.get("numpy.random")
    if hasattr(numpy, "seed"):
        _seed(numpy.seed, "numpy")


def _seed(action: Callable[[], object], place: str) -> None:
    try:
        action()
    except Exception as error:
        log.warning("cannot seed a random generator again (%s): %s; all workers get the same numbers", place, error)


def _renew(bits: Any) -> None:
    bits.state = type(bits)().state


def _place() -> str:
    """Where the application, or a library, is in this thread: who has called ``random``."""
    frame = sys._getframe(2)
    while frame.f_code.co_filename == random.__file__ and frame.f_back is not None:
        frame = frame.f_back
    return f"{os.path.basename(frame.f_code.co_filename)}, line {frame.f_lineno}"


def _bit_generators() -> Iterator[Any]:
    """Those of numpy that were made without a seed."""
    numpy: Any = sys.modules.get("numpy.random")
    kind = getattr(numpy, "BitGenerator", None)
    if not isinstance(kind, type):
        return
    for one in buffered.of(gc.get_objects(), (kind,)):
        sequence = getattr(one, "seed_seq", None) or getattr(one, "_seed_seq", None)
        entropy = getattr(sequence, "entropy", None)  # RandomState(42) has no sequence
        if isinstance(entropy, int) and entropy.bit_length() > DRAWN_BITS:
            yield one
