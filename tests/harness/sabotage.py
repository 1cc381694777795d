"""An application that breaks the loop of the worker that serves it, so that a test can watch the worker end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from releve.server.loop.loop import Loop


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    Loop._post = None  # type: ignore[method-assign, assignment]
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]
