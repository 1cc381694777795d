"""Chunked bodies: sizes, extensions, data, trailers (RFC 9112, 7.1)."""

from __future__ import annotations

import pytest

from harness.cases import BODY, Case, Mode, Server, bad, chunked, get, good

LAST = b"0\r\n\r\n"


def sized(size: bytes) -> bytes:
    return chunked(size + b"\r\nhello\r\n" + LAST)


def extended(extension: bytes) -> bytes:
    return chunked(b"5" + extension + b"\r\nhello\r\n" + LAST)


def headed(body: bytes) -> bytes:
    return get(b"Transfer-Encoding: chunked", first=b"HEAD / HTTP/1.1") + body


def trailed(trailers: bytes) -> bytes:
    return chunked(b"5\r\nhello\r\n0\r\n" + trailers)


CASES = [
    # sizes
    good("one chunk", sized(b"5"), body="hello"),
    good("no chunk but the last", chunked(LAST), body=""),
    good("last chunk of many zeros", chunked(b"00000\r\n\r\n"), body=""),
    good("two chunks", chunked(b"3\r\nhel\r\n2\r\nlo\r\n" + LAST), body="hello"),
    good("chunks of one byte", chunked(b"".join(b"1\r\n%c\r\n" % byte for byte in b"hello") + LAST), body="hello"),
    good("size in lower-case hex", chunked(b"a\r\n0123456789\r\n" + LAST), body="0123456789"),
    good("size in upper-case hex", chunked(b"A\r\n0123456789\r\n" + LAST), body="0123456789"),
    good("size of two hex digits", chunked(b"1F\r\n" + b"x" * 31 + b"\r\n" + LAST), body="x" * 31),
    good("size with leading zeros", sized(b"00005"), body="hello"),
    good("size of fifteen digits", sized(b"000000000000005"), body="hello"),
    bad("size of sixteen digits", sized(b"0000000000000005")),
    bad("size of 64 bits", chunked(b"FFFFFFFFFFFFFFFF\r\n")),
    bad("size over 64 bits that wraps to 5", sized(b"10000000000000005")),
    bad("size over 32 bits a hundred times", sized(b"1" * 100)),
    bad("empty size", sized(b"")),
    bad("empty size with an extension", sized(b";a")),
    bad("size with 0x", sized(b"0x5")),
    bad("size with 0X", sized(b"0X5")),
    bad("size with a plus", sized(b"+5")),
    bad("size with a minus", sized(b"-5")),
    bad("size minus zero", chunked(b"-0\r\n\r\n")),
    bad("size with an underscore", sized(b"0_5")),
    bad("size with an h", sized(b"5h")),
    bad("size with a letter beyond f", sized(b"g")),
    bad("size with a point", sized(b"5.0")),
    bad("size after a space", sized(b" 5")),
    bad("size after a tab", sized(b"\t5")),
    bad("size before a space", sized(b"5 ")),
    bad("size before a tab", sized(b"5\t")),
    bad("size before a vertical tab", sized(b"5\x0b")),
    bad("size before a form feed", sized(b"5\x0c")),
    bad("size before NUL", sized(b"5\x00")),
    bad("size before NEL", sized(b"5\x85")),
    bad("size of two words", sized(b"5 5")),
    bad("size of a list", sized(b"5,5")),
    bad("size in arabic digits", sized("٥".encode())),
    bad("size superscript", sized(b"\xb2")),
    bad("size after an empty line", chunked(b"\r\n5\r\nhello\r\n" + LAST)),
    bad("last size with a minus", chunked(b"5\r\nhello\r\n-0\r\n\r\n")),
    bad("last size after a space", chunked(b"5\r\nhello\r\n 0\r\n\r\n")),
    bad("size line that never ends", chunked(b"0" * 5000)),
    # line ends
    bad("size line with a bare LF", chunked(b"5\nhello\r\n" + LAST)),
    bad("size line with a bare CR", chunked(b"5\rhello\r\n" + LAST)),
    bad("size line with CR CR LF", chunked(b"5\r\r\nhello\r\n" + LAST)),
    bad("size line with LF CR", chunked(b"5\n\rhello\r\n" + LAST)),
    bad("data with a bare LF behind", chunked(b"5\r\nhello\n" + LAST)),
    bad("data with a bare CR behind", chunked(b"5\r\nhello\r" + LAST)),
    bad("data with nothing behind", chunked(b"5\r\nhello" + LAST)),
    bad("data with two other bytes behind", chunked(b"5\r\nhelloXX" + LAST)),
    bad("data with CR and another byte behind", chunked(b"5\r\nhello\rX" + LAST)),
    bad("data longer than its size", chunked(b"3\r\nhello\r\n" + LAST)),
    bad("data shorter than its size", chunked(b"7\r\nhello\r\n" + LAST)),
    bad("last chunk with a bare LF", chunked(b"5\r\nhello\r\n0\n\r\n")),
    bad("end with a bare LF", chunked(b"5\r\nhello\r\n0\r\n\n")),
    bad("end with a bare CR", trailed(b"\rX\r\n\r\n")),
    bad("end without its CRLF", trailed(b"GET / HTTP/1.1\r\nHost: smuggled\r\n\r\n")),
    good("data of line ends", chunked(b"4\r\n\r\n\r\n\r\n" + LAST), body="\r\n\r\n"),
    good("data that looks like the end", chunked(b"5\r\n0\r\n\r\n\r\n" + LAST), body="0\r\n\r\n"),
    good(
        "data of every byte",
        chunked(b"100\r\n" + bytes(range(256)) + b"\r\n" + LAST),
        body=bytes(range(256)).decode("latin-1"),
    ),
    # extensions
    good("extension", extended(b";a"), body="hello"),
    good("extension with a value", extended(b";a=b"), body="hello"),
    good("extension with a quoted value", extended(b';a="b c;d"'), body="hello"),
    good("extension with an escaped quote", extended(b';a="b\\"c"'), body="hello"),
    good("extension with an empty quoted value", extended(b';a=""'), body="hello"),
    good("extension with a size in its quotes", extended(b';a="0"'), body="hello"),
    good("extensions", extended(b";a;b=c;d"), body="hello"),
    good("extension with white space", extended(b" ; a\t=  b ;c"), body="hello"),
    good("extension of the last chunk", chunked(b"5\r\nhello\r\n0;a=b\r\n\r\n"), body="hello"),
    good("extension of some length", extended(b";a=" + b"b" * 1000), body="hello"),
    bad("extension without a name", extended(b";")),
    bad("extension without a name, spaced", extended(b" ; ")),
    bad("extension without a name, with a value", extended(b";=b")),
    bad("extension without a value", extended(b";a=")),
    bad("extension with a space behind", extended(b";a ")),
    bad("extension of two words", extended(b";a b")),
    bad("extension with an open quote", extended(b';a="b')),
    bad("extension with a quote in a token", extended(b';a=b"c"')),
    bad("extension with a line end in its quotes", extended(b';a="\r\n0\r\n\r\n"')),
    bad("extension with a bare LF", extended(b";a\nb")),
    bad("extension with a bare LF in quotes", extended(b';a="\n"')),
    bad("extension with a bare CR", extended(b";a\rb")),
    bad("extension that ends in a bare LF", chunked(b"5;a\nhello\r\n" + LAST)),
    bad("extension with NUL", extended(b";a\x00")),
    bad("extension with a control in quotes", extended(b';a="\x01"')),
    bad("extension with a comma", extended(b",a")),
    bad("extension that is too long", extended(b";a=" + b"b" * 5000)),
    bad("size that is bad, of a HEAD", headed(b"x\r\n")),
    bad("data with nothing behind, of a HEAD", headed(b"5\r\nhello" + LAST)),
    # trailers
    good("trailer", trailed(b"A: b\r\n\r\n"), body="hello", HTTP_A=None),
    good("trailers", trailed(b"A: b\r\nC: d\r\n\r\n"), body="hello", HTTP_A=None, HTTP_C=None),
    good("trailer that was announced", chunked(b"0\r\nA: b\r\n\r\n", b"Trailer: A"), HTTP_A=None, HTTP_TRAILER="A"),
    good("empty trailer", trailed(b"A:\r\n\r\n"), body="hello", HTTP_A=None),
    good("trailer that is Host", trailed(b"Host: evil\r\n\r\n"), HTTP_HOST="a"),
    good("trailer that is Content-Length", trailed(b"Content-Length: 9\r\n\r\n"), body="hello", CONTENT_LENGTH=None),
    good("trailer that is Transfer-Encoding", trailed(b"Transfer-Encoding: gzip\r\n\r\n"), body="hello"),
    good("trailer that is Connection", trailed(b"Connection: close\r\n\r\n"), body="hello", HTTP_CONNECTION=None),
    good("trailer that is a header too", chunked(b"0\r\nA: evil\r\n\r\n", b"A: good"), HTTP_A="good"),
    good("trailer that is X-Forwarded-For", trailed(b"X-Forwarded-For: 6.6.6.6\r\n\r\n"), HTTP_X_FORWARDED_FOR=None),
    good("trailer that is Cookie", trailed(b"Cookie: a=b\r\n\r\n"), HTTP_COOKIE=None),
    bad("trailer without a colon", trailed(b"A\r\n\r\n")),
    bad("trailer without a name", trailed(b": b\r\n\r\n")),
    bad("trailer with a space before the colon", trailed(b"A : b\r\n\r\n")),
    bad("trailer after a space", trailed(b" A: b\r\n\r\n")),
    bad("trailer that is folded", trailed(b"A: b\r\n c\r\n\r\n")),
    bad("trailer with NUL", trailed(b"A: \x00\r\n\r\n")),
    bad("trailer with a bare CR", trailed(b"A: b\rC: d\r\n\r\n")),
    bad("trailer with a bare LF", trailed(b"A: b\nC: d\r\n\r\n")),
    bad("trailer with a bare LF at the end", trailed(b"A: b\r\n\n")),
    bad("trailer with a bad name", trailed(b"A(b): c\r\n\r\n")),
    bad("trailer that is too long", trailed(b"A: " + b"b" * 5000 + b"\r\n\r\n")),
    # limits
    good("chunks up to the limit", chunked(b"%x\r\n" % BODY + b"x" * BODY + b"\r\n" + LAST), body="x" * BODY),
    bad("a chunk over the limit", chunked(b"%x\r\n" % (BODY + 1) + b"x" * (BODY + 1) + b"\r\n" + LAST), 413),
    bad("chunks over the limit together", chunked((b"64\r\n" + b"x" * 100 + b"\r\n") * 11 + LAST), 413),
]


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_chunks(server: Server, case: Case, mode: Mode) -> None:
    server.play(case, mode)


UNREAD = {
    "a bad size": b"x\r\nhello\r\n" + LAST,
    "a bad size later": b"5\r\nhello\r\n0x0\r\n\r\n",
    "data without its end": b"5\r\nhelloXX" + LAST,
    "a bad extension": b"5;\r\nhello\r\n" + LAST,
    "a bad trailer": b"0\r\nA : b\r\n\r\n",
    "a bare LF": b"0\n\n",
    "too much": (b"64\r\n" + b"x" * 100 + b"\r\n") * 11 + LAST,
}


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("body", UNREAD.values(), ids=UNREAD)
def test_a_bad_body_that_nobody_reads_is_the_last(server: Server, body: bytes, mode: Mode) -> None:
    """The application has answered: nothing may be said after that, and nothing behind the body may run."""
    follower = f"unread-{mode.value}-{len(body)}"
    with server.wire(mode) as wire:
        wire.send(chunked(body, target=b"/unread"), mode)
        wire.send(f"GET /follower?{follower} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert wire.answer().status == 200
        wire.end()
    assert follower not in server.ran()
