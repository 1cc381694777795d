"""One whole response of a server, read from its bytes; what is wrong with it is an exception."""

from __future__ import annotations

from dataclasses import dataclass


class Broken(Exception):
    """One failure: its kind, and what was seen."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail = kind, detail


@dataclass(frozen=True)
class Answer:
    """One whole response."""

    status: int
    headers: dict[str, str]
    body: bytes
    close: bool  # no further request may be sent on this connection


def parse(data: bytes, ended: bool, method: str) -> tuple[Answer, int] | None:
    """The response at the start of ``data`` and its length, None while it is incomplete. Raises Broken."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    code = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not code.isdigit() or len(code) != 3:
        raise Broken("malformed", f"status line {lines[0]!r}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        key = name.lower()
        if (
            not colon
            or not name
            or name != name.strip()
            or (key in headers and key in ("content-length", "transfer-encoding"))
        ):
            raise Broken("malformed", f"header line {line!r}")
        headers[key] = value.strip()
    start, status = end + 4, int(code)
    close = "close" in headers.get("connection", "").lower() or (
        version == "HTTP/1.0" and "keep-alive" not in headers.get("connection", "").lower()
    )
    if method == "HEAD" or status in (204, 304) or status < 200:
        return Answer(status, headers, b"", close), start
    if headers.get("transfer-encoding", "").lower() == "chunked":
        found = parse_chunks(data, start)
        return (Answer(status, headers, found[0], close), found[1]) if found else None
    if "content-length" in headers:
        stop = start + int(headers["content-length"])
        return (Answer(status, headers, data[start:stop], close), stop) if len(data) >= stop else None
    return (Answer(status, headers, data[start:], True), len(data)) if ended else None


def parse_chunks(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The chunked body at ``at`` and where it ends, None while it is incomplete. Raises Broken."""
    body = bytearray()
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        try:
            size = int(data[at:end], 16)
        except ValueError:
            raise Broken("malformed", f"chunk size {data[at:end]!r}") from None
        stop = end + 2 + size + 2
        if len(data) < stop:
            return None
        if data[stop - 2 : stop] != b"\r\n":
            raise Broken("malformed", "chunk without its CRLF")
        body += data[end + 2 : stop - 2]
        at = stop
        if size == 0:
            return bytes(body), stop
