"""Thirty-odd small applications, each inside ``wsgiref.validate.validator``, which objects to whatever PEP 3333 does
not allow.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from wsgiref.validate import validator

Environ = dict[str, Any]
Start = Callable[..., Any]
App = Callable[[Environ, Start], Iterable[bytes]]

TEXT = [("Content-Type", "text/plain")]
LINES = b"first\nsecond\r\n\nlast"
BIG = bytes(range(256)) * 1024  # 256 KiB
FILE = tempfile.NamedTemporaryFile()  # noqa: SIM115
FILE.write(BIG)
FILE.flush()


class Case(NamedTuple):
    """An application, a request to it, and what comes back."""

    app: App
    expected: bytes = b"ok"
    status: int = 200
    method: str = "GET"
    body: bytes = b""
    more: str = ""
    query: str = ""


def a_list(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return [b"o", b"k"]


def a_tuple(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return (b"o", b"k")


def a_generator(environ: Environ, start: Start) -> Iterator[bytes]:
    start("200 OK", TEXT)
    yield b"o"
    yield b"k"


def late_start(environ: Environ, start: Start) -> Iterator[bytes]:
    """``start_response`` in the first step of the iteration, which is no earlier than it must be."""

    def steps() -> Iterator[bytes]:
        start("200 OK", TEXT)
        yield b"ok"

    return steps()


class Steps:
    """An iterator of its own, with ``close``."""

    def __init__(self, environ: Environ, start: Start) -> None:
        start("200 OK", TEXT)
        self._steps = iter((b"o", b"", b"k"))

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._steps)

    def close(self) -> None:
        pass


class Sequence:
    """Only ``__getitem__``: the old protocol of iteration."""

    def __init__(self, environ: Environ, start: Start) -> None:
        start("200 OK", TEXT)

    def __getitem__(self, index: int) -> bytes:
        return (b"o", b"k")[index]


def writes(environ: Environ, start: Start) -> Iterable[bytes]:
    write = start("200 OK", TEXT)
    write(b"o")
    write(b"k")
    return []


def writes_and_returns(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)(b"o")
    return [b"k"]


def empty_pieces(environ: Environ, start: Start) -> Iterator[bytes]:
    start("200 OK", TEXT)
    yield b""
    yield b"ok"
    yield b""


def empty(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return []


def with_length(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", [*TEXT, ("Content-Length", "2")])
    return [b"o", b"k"]


def no_content(environ: Environ, start: Start) -> Iterable[bytes]:
    start("204 No Content", [])
    return []


def not_modified(environ: Environ, start: Start) -> Iterable[bytes]:
    start("304 Not Modified", [("ETag", '"x"')])
    return []


def odd_status(environ: Environ, start: Start) -> Iterable[bytes]:
    start("299 Something of our own", TEXT)
    return [b"ok"]


def redirect(environ: Environ, start: Start) -> Iterable[bytes]:
    start("302 Found", [*TEXT, ("Location", "/elsewhere")])
    return [b"ok"]


def fails_late(environ: Environ, start: Start) -> Iterable[bytes]:
    """Nothing has been sent: the error replaces the response."""
    start("200 OK", TEXT)
    try:
        raise RuntimeError("before the first byte")
    except RuntimeError as error:
        start("500 Internal Server Error", TEXT, (type(error), error, error.__traceback__))
    return [b"sorry"]


def reads_all(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return [environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 10_000_000))]


def reads_pieces(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return list(iter(lambda: environ["wsgi.input"].read(7), b""))


def reads_digest(environ: Environ, start: Start) -> Iterable[bytes]:
    digest = hashlib.sha256()
    for piece in iter(lambda: environ["wsgi.input"].read(10_000), b""):
        digest.update(piece)
    start("200 OK", TEXT)
    return [digest.hexdigest().encode()]


def reads_lines(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return [b"|".join(iter(environ["wsgi.input"].readline, b""))]


def reads_some_of_lines(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return [b"|".join(iter(lambda: environ["wsgi.input"].readline(4), b""))]


def reads_a_list_of_lines(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return [b"|".join(environ["wsgi.input"].readlines())]


def iterates(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return [b"|".join(environ["wsgi.input"])]


def reads_a_little(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return [environ["wsgi.input"].read(2)]


def reads_nothing(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return [b"ok"]


def reads_too_far(environ: Environ, start: Start) -> Iterable[bytes]:
    """Behind the end there is nothing, however often one asks."""
    first = environ["wsgi.input"].read(1_000_000)
    start("200 OK", TEXT)
    return [first, environ["wsgi.input"].read(5), environ["wsgi.input"].readline()]


def echoes_as_it_comes(environ: Environ, start: Start) -> Iterator[bytes]:
    start("200 OK", TEXT)
    while piece := environ["wsgi.input"].read(1000):
        yield piece


def cookies(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", [*TEXT, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/")])
    return [environ["HTTP_COOKIE"].encode()]


def many_headers(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", [*TEXT, *((f"X-Number-{number}", str(number)) for number in range(90))])
    return [str(sum(key.startswith("HTTP_X_NUMBER") for key in environ)).encode()]


def path_of_bytes(environ: Environ, start: Start) -> Iterable[bytes]:
    """PEP 3333: the bytes of the path, decoded as latin-1, whatever they mean."""
    start("200 OK", TEXT)
    return [environ["PATH_INFO"].encode("latin-1")]


def query(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return [environ["QUERY_STRING"].encode("latin-1")]


def a_file(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](open(FILE.name, "rb"), 1000)  # type: ignore[no-any-return]


def a_file_in_memory(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"ok"))  # type: ignore[no-any-return]


def complains(environ: Environ, start: Start) -> Iterable[bytes]:
    errors = environ["wsgi.errors"]
    errors.write("a line\n")
    errors.writelines(["two ", "parts\n"])
    errors.flush()
    start("200 OK", TEXT)
    return [b"ok"]


BODY = "Content-Type: text/plain\r\n"
CHUNKED = BODY + "Transfer-Encoding: chunked\r\n"
PIECES = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (LINES[:3], LINES[3:9], LINES[9:])) + b"0\r\n\r\n"

CASES = {
    "list": Case(a_list),
    "tuple": Case(a_tuple),
    "generator": Case(a_generator),
    "late start": Case(late_start),
    "iterator": Case(Steps),
    "sequence": Case(Sequence),  # type: ignore[arg-type]  # a validator takes it for an iterable, as Python does
    "write": Case(writes),
    "write and return": Case(writes_and_returns),
    "empty pieces": Case(empty_pieces),
    "empty": Case(empty, b""),
    "length": Case(with_length),
    "HEAD": Case(a_generator, b"", method="HEAD"),
    "HEAD with length": Case(with_length, b"", method="HEAD"),
    "204": Case(no_content, b"", 204),
    "304": Case(not_modified, b"", 304),
    "odd status": Case(odd_status, status=299),
    "redirect": Case(redirect, status=302),
    "exc_info": Case(fails_late, b"sorry", 500),
    "read": Case(reads_all, LINES, method="POST", body=LINES, more=BODY),
    "read without a body": Case(reads_all, b""),
    "read pieces": Case(reads_pieces, LINES, method="PUT", body=LINES, more=BODY),
    "read chunks": Case(reads_pieces, LINES, method="POST", body=PIECES, more=CHUNKED),
    "read a big body": Case(reads_digest, hashlib.sha256(BIG).hexdigest().encode(), method="POST", body=BIG, more=BODY),
    "readline": Case(reads_lines, b"first\n|second\r\n|\n|last", method="POST", body=LINES, more=BODY),
    "readline of chunks": Case(reads_lines, b"first\n|second\r\n|\n|last", method="POST", body=PIECES, more=CHUNKED),
    "readline with a size": Case(
        reads_some_of_lines, b"firs|t\n|seco|nd\r\n|\n|last", method="POST", body=LINES, more=BODY
    ),
    "readlines": Case(reads_a_list_of_lines, b"first\n|second\r\n|\n|last", method="POST", body=LINES, more=BODY),
    "iteration": Case(iterates, b"first\n|second\r\n|\n|last", method="POST", body=LINES, more=BODY),
    "partial read": Case(reads_a_little, LINES[:2], method="POST", body=LINES, more=BODY),
    "no read": Case(reads_nothing, method="POST", body=LINES, more=BODY),
    "no read of chunks": Case(reads_nothing, method="POST", body=PIECES, more=CHUNKED),
    "read too far": Case(reads_too_far, LINES, method="POST", body=LINES, more=BODY),
    "echo": Case(echoes_as_it_comes, BIG, method="POST", body=BIG, more=BODY),
    "cookies": Case(cookies, b"a=1; b=2", more="Cookie: a=1\r\nCookie: b=2\r\n"),
    "many headers": Case(many_headers, b"90", more="".join(f"X-Number-{number}: {number}\r\n" for number in range(90))),
    "path": Case(path_of_bytes, "/path/ä/%".encode(), query="/%C3%A4/%25"),
    "query": Case(query, b"a=%20b&&c=?/", query="?a=%20b&&c=?/"),
    "file": Case(a_file, BIG),
    "file in memory": Case(a_file_in_memory),
    "errors": Case(complains),
}

_validated: dict[str, Any] = {name.replace(" ", "-"): validator(case.app) for name, case in CASES.items()}


def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """``/NAME``, and what follows it, goes to the application of that name."""
    warnings.simplefilter("error")  # the validator warns where it is not sure
    name = environ["PATH_INFO"].split("/")[1]
    return _validated[name](environ, start_response)  # type: ignore[no-any-return]
