"""Several applications as one: which of them a path belongs to. Pure (PEP 3333, "URL Reconstruction").

A prefix covers itself and all that is below it: ``/api`` covers ``/api`` and ``/api/x``, never ``/apix``. The longest
one wins. What no prefix covers is a 404 of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Application = Callable[..., Iterable[bytes]]
Environ = dict[str, Any]


class Mounts:
    """A WSGI application that calls the application whose prefix is the longest of those that cover the path.

    ``broken`` has the prefixes that answer 503, with the error that is the reason.
    """

    def __init__(self, applications: Mapping[str, Application], broken: Mapping[str, Exception] | None = None) -> None:
        """``applications`` by prefix: empty, or segments with a slash before each, as text.

        Raises ValueError for a prefix of another form.
        """
        for prefix in applications:
            if prefix and (not prefix.startswith("/") or prefix.endswith("/") or "//" in prefix):
                raise ValueError(f"cannot mount at {prefix!r}: expected '' or segments with one / before each")
        self.broken = dict(broken or {})
        # PATH_INFO has each byte of the path as one character (PEP 3333, "A Note On String Types").
        self._applications = {prefix.encode().decode("latin-1"): application for prefix, application in applications.items()}
        self._root = self._applications.pop("", _not_found)
        self._depth = max((prefix.count("/") for prefix in self._applications), default=0)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """One look-up for each segment of the path, up to as many as the deepest prefix has, however many prefixes there are."""
        path: str = environ["PATH_INFO"]
        applications, covered = self._applications, 0
        application: Application = self._root
        end, length = 0, len(path)
        for _ in range(self._depth):
            end = path.find("/", end + 1)
            if end < 0:
                end = length
            found = applications.get(path[:end])
            if found is not None:
                application, covered = found, end
            if end >= length:
                break
        if covered:
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + path[:covered]
            environ["PATH_INFO"] = path[covered:]
        return application(environ, start_response)


def broken(application: Application) -> list[Exception]:
    """Why parts of an application answer 503; empty for one that is whole, or not of ours."""
    return list(application.broken.values()) if isinstance(application, Mounts) else []


def unavailable(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """What stands in for an application that could not be imported."""
    return _say(start_response, "503 Service Unavailable", b"this application is not available\n")


def _not_found(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    return _say(start_response, "404 Not Found", b"nothing is mounted here\n")


def _say(start_response: Callable[..., Any], status: str, text: bytes) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))])
    return [text]
