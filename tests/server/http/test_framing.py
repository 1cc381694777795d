"""Where the body ends: Content-Length and Transfer-Encoding (RFC 9112, 6)."""

from __future__ import annotations

import pytest

from harness.cases import BODY, Case, Mode, Server, bad, chunked, get, good, old, post

TE = b"Transfer-Encoding: "
CL = b"Content-Length: "


def length(value: bytes, body: bytes = b"hello") -> bytes:
    return post(b"Content-Length:" + value, body=body)


def coding(value: bytes, body: bytes = b"0\r\n\r\n") -> bytes:
    return post(b"Transfer-Encoding:" + value, body=body)


CASES = [
    # one length
    good("length", length(b" 5"), body="hello", CONTENT_LENGTH="5", HTTP_CONTENT_LENGTH=None),
    good("no length", post(), body="", CONTENT_LENGTH=None),
    good("length zero", length(b" 0", b""), body="", CONTENT_LENGTH="0"),
    good("length without space", length(b"5"), body="hello"),
    good("length between tabs", length(b"\t5\t "), body="hello"),
    good("length with leading zeros", length(b" 005"), body="hello", CONTENT_LENGTH="5"),
    good("length of eighteen digits", length(b" 000000000000000005"), body="hello"),
    good("length in capitals", post(b"CONTENT-LENGTH: 5", body=b"hello"), body="hello"),
    good("length of a GET", get(CL + b"5") + b"hello", body="hello", REQUEST_METHOD="GET"),
    good("length of a DELETE", get(CL + b"2", first=b"DELETE /x HTTP/1.1") + b"ab", body="ab"),
    good("length of an OPTIONS", get(CL + b"2", first=b"OPTIONS * HTTP/1.1") + b"ab", body="ab"),
    good("body of line ends", length(b" 4", b"\r\n\r\n"), body="\r\n\r\n"),
    good("body of every byte", length(b" 256", bytes(range(256))), body=bytes(range(256)).decode("latin-1")),
    good(
        "body that is a request",
        length(b" 27", b"GET / HTTP/1.1\r\nHost: b\r\n\r\n"),
        body="GET / HTTP/1.1\r\nHost: b\r\n\r\n",
    ),
    good("body that is chunked but does not say so", length(b" 5", b"0\r\n\r\n"), body="0\r\n\r\n"),
    good("body left unread", post(CL + b"5", body=b"hello", target=b"/unread"), body=None),
    good("underscore length", post(b"Content_Length: 5"), body="", CONTENT_LENGTH=None, HTTP_CONTENT_LENGTH=None),
    good(
        "underscore length beside a length",
        post(b"Content_Length: 9", CL + b"5", body=b"hello"),
        body="hello",
        CONTENT_LENGTH="5",
    ),
    good("underscore coding", post(b"Transfer_Encoding: chunked"), body="", HTTP_TRANSFER_ENCODING=None),
    good("length with a prefix to its name", post(b"X-Content-Length: 5"), body="", CONTENT_LENGTH=None),
    good("length at the limit", length(b" %d" % BODY, b"x" * BODY), body="x" * BODY),
    # bad lengths
    bad("empty length", length(b"")),
    bad("blank length", length(b" \t ")),
    bad("length plus", length(b" +5")),
    bad("length minus", length(b" -5")),
    bad("length minus zero", length(b" -0")),
    bad("length with a point", length(b" 5.0")),
    bad("length with an exponent", length(b" 5e0")),
    bad("length in hex", length(b" 0x5")),
    bad("length in bare hex", length(b" a", b"0123456789")),
    bad("length with an underscore", length(b" 0_5")),
    bad("length list of equals", length(b" 5, 5")),
    bad("length list without space", length(b" 5,5")),
    bad("length list of differents", length(b" 5, 6")),
    bad("length list with an empty end", length(b" 5,")),
    bad("length list with an empty start", length(b" ,5")),
    bad("length two words", length(b" 5 5")),
    bad("length with a parameter", length(b" 5;x=y")),
    bad("length in quotes", length(b' "5"')),
    bad("length in letters", length(b" five")),
    bad("length in arabic digits", length(" ٥".encode())),
    bad("length in fullwidth digits", length(" ５".encode())),
    bad("length superscript", length(b" \xb2")),
    bad("length after a vertical tab", length(b" \x0b5")),
    bad("length before a form feed", length(b" 5\x0c")),
    bad("length before a no-break space", length(b" 5\xa0")),
    bad("length before NEL", length(b" 5\x85")),
    bad("length before NUL", length(b" 5\x00")),
    bad("length folded", length(b"\r\n 5")),
    bad("length of 63 bits and more", length(b" 9223372036854775808")),
    bad("length of 64 bits and more", length(b" 18446744073709551621")),
    bad("length of two hundred digits", length(b" " + b"9" * 200)),
    bad("length of nineteen zeros", length(b" 0000000000000000000", b"")),
    bad("repeated equal lengths", post(CL + b"5", CL + b"5", body=b"hello")),
    bad("repeated different lengths", post(CL + b"5", CL + b"0", body=b"hello")),
    bad("repeated length in another case", post(CL + b"5", b"content-length: 0", body=b"hello")),
    bad("repeated zero lengths", get(CL + b"0", CL + b"0")),
    bad("repeated length, the second empty", post(CL + b"5", b"Content-Length:", body=b"hello")),
    bad("length in a name with a space", post(b"Content-Length : 5", body=b"hello")),
    bad("length in a name with a tab", post(b"Content-Length\t: 5", body=b"hello")),
    bad("length over the limit", length(b" %d" % (BODY + 1), b""), 413),
    bad("length far over the limit", length(b" 999999999999999999", b"x" * 3000), 413),
    # several reads: closed at once, a reset
    bad("length over the limit, and all of it", length(b" 32768", b"x" * 32768), 413),
    # length and coding
    bad("coding and length", post(TE + b"chunked", CL + b"5", body=b"0\r\n\r\n")),
    bad("length and coding", post(CL + b"5", TE + b"chunked", body=b"0\r\n\r\n")),
    bad("length zero and coding", post(CL + b"0", TE + b"chunked", body=b"0\r\n\r\n")),
    bad("coding and empty length", post(TE + b"chunked", b"Content-Length:", body=b"0\r\n\r\n")),
    bad("coding and bad length", post(TE + b"chunked", CL + b"x", body=b"0\r\n\r\n")),
    bad("empty coding and length", post(b"Transfer-Encoding:", CL + b"5", body=b"hello")),
    bad("identity and length", post(TE + b"identity", CL + b"5", body=b"hello")),
    bad("unknown coding and length", post(TE + b"xchunked", CL + b"5", body=b"hello")),
    bad(
        "length in capitals and coding in capitals",
        post(b"CONTENT-LENGTH: 5", b"TRANSFER-ENCODING: CHUNKED", body=b"0\r\n\r\n"),
    ),
    bad("coding and length on a GET", get(TE + b"chunked", CL + b"5") + b"0\r\n\r\n"),
    # codings
    good("chunked", coding(b" chunked", b"5\r\nhello\r\n0\r\n\r\n"), body="hello", CONTENT_LENGTH=None),
    good("chunked in capitals", coding(b" CHUNKED"), body=""),
    good("chunked in mixed case", coding(b"\tChUnKeD \t"), body=""),
    good("chunked on a GET", get(TE + b"chunked") + b"2\r\nab\r\n0\r\n\r\n", body="ab"),
    good("chunked on a HEAD", get(TE + b"chunked", first=b"HEAD / HTTP/1.1") + b"2\r\nab\r\n0\r\n\r\n", body="ab"),
    good("chunked with the name in capitals", post(b"TRANSFER-ENCODING: chunked", body=b"0\r\n\r\n"), body=""),
    good("TE is another field", post(b"TE: chunked", b"Connection: TE"), body=""),
    bad("empty coding", coding(b"")),
    bad("blank coding", coding(b"  ")),
    bad("identity", coding(b" identity", b"")),
    bad("gzip", coding(b" gzip")),
    bad("gzip, chunked", coding(b" gzip, chunked"), 501),
    bad("identity, chunked", coding(b" identity, chunked"), 501),
    bad("xchunked", coding(b" xchunked")),
    bad("chunkedx", coding(b" chunkedx")),
    bad("x-chunked", coding(b" x-chunked")),
    bad("chunked, chunked", coding(b" chunked, chunked")),
    bad("chunked, identity", coding(b" chunked, identity")),
    bad("chunked, gzip", coding(b" chunked, gzip")),
    bad("chunked, empty", coding(b" chunked,")),
    bad("empty, chunked", coding(b" ,chunked")),
    bad("chunked gzip", coding(b" chunked gzip")),
    bad("chunked with a parameter", coding(b" chunked;q=1")),
    bad("chunked in quotes", coding(b' "chunked"')),
    bad("chunked in single quotes", coding(b" 'chunked'")),
    bad("chunked after a vertical tab", coding(b" \x0bchunked")),
    bad("chunked before a form feed", coding(b" chunked\x0c")),
    bad("chunked between separators", coding(b" \x1cchunked\x1f")),
    bad("chunked before NEL", coding(b" chunked\x85")),
    bad("chunked before a no-break space", coding(b" chunked\xa0")),
    bad("chunked before NUL", coding(b" chunked\x00")),
    bad("chunked with a Kelvin sign", coding(" chun\u212aed".encode())),
    bad("chunked folded", coding(b"\r\n chunked")),
    bad("chunked folded with a tab", coding(b" gzip,\r\n\tchunked")),
    bad("chunked after a bare CR", coding(b"\rchunked")),
    bad("chunked after a bare LF", coding(b"\nchunked")),
    bad("coding in a name with a space", post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n")),
    bad("coding in a name after a space", get(b" Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    bad("repeated coding", post(TE + b"chunked", TE + b"chunked", body=b"0\r\n\r\n")),
    bad("repeated coding, gzip first", post(TE + b"gzip", TE + b"chunked", body=b"0\r\n\r\n")),
    bad("repeated coding, identity last", post(TE + b"chunked", TE + b"identity", body=b"0\r\n\r\n")),
    bad("repeated coding, the first empty", post(b"Transfer-Encoding:", TE + b"chunked", body=b"0\r\n\r\n")),
    # HTTP/1.0
    bad("chunked in 1.0", old(TE + b"chunked", method=b"POST", body=b"0\r\n\r\n")),
    bad(
        "chunked in 1.0, kept alive", old(TE + b"chunked", b"Connection: keep-alive", method=b"POST", body=b"0\r\n\r\n")
    ),
    bad("identity in 1.0", old(TE + b"identity", method=b"POST")),
    bad("chunked and length in 1.0", old(TE + b"chunked", CL + b"5", method=b"POST", body=b"0\r\n\r\n")),
    good("length in 1.0", old(CL + b"5", method=b"POST", body=b"hello"), keep=False, body="hello"),
    good("no length in 1.0", old(method=b"POST"), keep=False, body=""),
]


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_framing(server: Server, case: Case, mode: Mode) -> None:
    server.play(case, mode)


# What stands behind the end that the framing gives is the next request, whatever was meant by it.
BEHIND = [
    ("more than the length", post(CL + b"5", body=b"hello!\r\n\r\n"), "hello"),
    ("a body without a length", post(body=b"{}\r\n\r\n"), ""),
    ("a body behind length zero", post(CL + b"0", body=b"{}\r\n\r\n"), ""),
    ("more than the last chunk", chunked(b"5\r\nhello\r\n0\r\n\r\n0\r\n\r\n"), "hello"),
]


@pytest.mark.parametrize("mode", (Mode.WHOLE, Mode.BYTES, Mode.PIECES), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("data", "body"), [pytest.param(*rest, id=name) for name, *rest in BEHIND])
def test_what_is_behind_the_end_is_refused_on_its_own(server: Server, data: bytes, body: str, mode: Mode) -> None:
    with server.wire(mode) as wire:
        wire.send(data, mode)
        answer = wire.answer()
        assert (answer.status, answer.seen["body"]) == (200, body)
        assert wire.answer().status == 400
        wire.end()
