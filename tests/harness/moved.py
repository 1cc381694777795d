"""What applications that come from gunicorn say of the connection, each under a path of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

HEADERS = {
    "/conn": ("Connection", "keep-alive"),  # event streams of Django and Flask
    "/close": ("Connection", "close"),  # WsgiDAV
    "/te": ("Transfer-Encoding", "chunked"),
    "/407": ("Proxy-Authenticate", 'Basic realm="x"'),
}


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    status = "407 Proxy Authentication Required" if path == "/407" else "200 OK"
    start_response(status, [("Content-Type", "text/plain"), HEADERS[path]])
    return [b""] if path == "/407" else iter([b"a", b"b"])
