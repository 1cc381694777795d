"""An access log into memory, and a request to write of."""

from __future__ import annotations

import os
import weakref
from typing import Any

from releve.server.wsgi.access import AccessLog

ENVIRON = {
    "REMOTE_ADDR": "192.0.2.7",
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/a%20b?x=1",
    "PATH_INFO": "/a b",
    "QUERY_STRING": "x=1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_REFERER": "https://www.example.org/",
    "HTTP_USER_AGENT": "curl/8.0 (x86_64)",
    "HTTP_X_REQUEST_ID": "abc-1",
    "CONTENT_TYPE": "text/plain",
    "wsgi.url_scheme": "http",
}

TIME = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"


class Sink(AccessLog):
    """An access log into a file that the test reads."""

    def __init__(self, format_: str) -> None:
        self.fd = os.memfd_create("access")
        weakref.finalize(self, os.close, self.fd)
        super().__init__(self.fd, format_)

    def text(self) -> str:
        self.flush()
        text = os.pread(self.fd, 1 << 20, 0).decode()
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)
        return text

    def line(
        self,
        environ: dict[str, Any],
        status: int = 200,
        sent: int = 12,
        duration_s: float = 1.234567,
        headers: Any = (),
    ) -> str:
        self.add(environ, status, sent, duration_s, headers)
        text = self.text()
        assert text.endswith("\n") and text.count("\n") == 1
        return text[:-1]
