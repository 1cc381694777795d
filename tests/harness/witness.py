"""The application of the HTTP cases: it says what it saw, the environ as JSON in a header, so that HEAD shows it too.

``/unread`` leaves the body alone, ``/ran`` says which pipelined followers have run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_ran: list[str] = []


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    path = environ["PATH_INFO"]
    if path == "/ran":
        answer = json.dumps(_ran).encode()
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]
    if path == "/follower":
        _ran.append(environ["QUERY_STRING"])
    seen = {name: value for name, value in environ.items() if type(value) is str}
    if path != "/unread":
        seen["body"] = environ["wsgi.input"].read().decode("latin-1")
    start_response("200 OK", [("Content-Length", "5"), ("X-Seen", json.dumps(seen))])
    return [b"seen\n"]
