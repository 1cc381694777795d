"""The application of the tests with slow clients."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_lines = 0


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    global _lines
    body: Iterable[bytes]
    match environ["PATH_INFO"]:
        case "/digest":
            body = [hashlib.sha256(environ["wsgi.input"].read()).hexdigest().encode()]
        case "/framing":
            words = environ.get("CONTENT_LENGTH", "none"), environ.get("HTTP_TRANSFER_ENCODING", "no")
            data = environ["wsgi.input"].read()
            body = [" ".join((*words, hashlib.sha256(data).hexdigest())).encode()]
        case "/talk":
            for _ in environ["wsgi.input"]:
                _lines += 1
            body = [str(_lines).encode()]
        case "/lines":
            body = [str(_lines).encode()]
        case "/file":
            path = Path(environ["QUERY_STRING"])
            start_response("200 OK", [("Content-Length", str(path.stat().st_size))])
            return environ["wsgi.file_wrapper"](path.open("rb"))  # type: ignore[no-any-return]
        case "/bytes":
            body = [Path(environ["QUERY_STRING"]).read_bytes()]
        case "/many":
            body = [b"x" * 50_000_000]
        case _:
            body = [b"fast"]
    start_response("200 OK", [("Content-Length", str(sum(map(len, body))))])
    return body
