"""Several applications as one: which of them a path belongs to. Pure (PEP 3333, "URL Reconstruction").

A prefix covers itself and all that is below it: ``/api`` covers ``/api`` and ``/api/x``, never ``/apix``. The longest
one wins. What no prefix covers is a 404 of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

Application = Callable[..., Iterable[bytes]]
Environ = dict[str, Any]

_broken: WeakKeyDictionary[Application, list[Exception]] = WeakKeyDictionary()  # of the applications made here


def mounted(applications: Mapping[str, Application], broken: Mapping[str, Exception] | None = None) -> Application:
    """A WSGI application that calls the one whose prefix is the longest of those that cover the path.

    ``applications`` by prefix: empty, or segments with a slash before each, as text. ``broken`` has the prefixes that
    answer 503, with the error that is the reason. Raises ValueError for a prefix of another form.
    """
    for prefix in applications:
        if prefix and (not prefix.startswith("/") or prefix.endswith("/") or "//" in prefix):
            raise ValueError(f"cannot mount at {prefix!r}: expected '' or segments with one / before each")
    # PATH_INFO has each byte of the path as one character (PEP 3333, "A Note On String Types").
    known = {prefix.encode().decode("latin-1"): application for prefix, application in applications.items()}
    dispatch = _dispatch(known, known.pop("", _not_found), max((prefix.count("/") for prefix in known), default=0))
    _broken[dispatch] = list((broken or {}).values())
    return dispatch


def broken(application: Application) -> list[Exception]:
    """Why parts of an application answer 503; empty for one that is whole, or not made here."""
    return _broken.get(application, []) if isinstance(application, FunctionType) else []


def _dispatch(known: dict[str, Application], root: Application, depth: int) -> Application:
    """One look-up for each segment of the path, up to as many as the deepest prefix has, however many prefixes there
    are.

    A closure, since it is called for every request: half the time of a method (benchmarks/bench_mounts.py).
    """
    find_application, deeper = known.get, range(depth - 1)

    def dispatch(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        end = path.find("/", 1)
        prefix = path[:end] if end > 0 else path
        application = find_application(prefix)
        if end > 0:
            for _ in deeper:
                end = path.find("/", end + 1)
                longer = path[:end] if end > 0 else path
                found = find_application(longer)
                if found is not None:
                    application, prefix = found, longer
                if end < 0:
                    break
        if application is None:
            return root(environ, start_response)
        environ["SCRIPT_NAME"] += prefix
        environ["PATH_INFO"] = path[len(prefix) :]
        return application(environ, start_response)

    return dispatch


def unavailable(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """What stands in for an application that could not be imported."""
    return _say(start_response, "503 Service Unavailable", b"this application is not available\n")


def _not_found(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    return _say(start_response, "404 Not Found", b"nothing is mounted here\n")


def _say(start_response: Callable[..., Any], status: str, text: bytes) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))])
    return [text]
