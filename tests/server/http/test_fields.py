"""Header fields: the grammar (RFC 9110, 5; RFC 9112, 5), and how they become entries of the environ."""

from __future__ import annotations

import pytest

from harness.cases import Case, Mode, Server, bad, get, good, post

CASES = [
    # values
    good("a field", get(b"A: b"), HTTP_A="b"),
    good("no space behind the colon", get(b"A:b"), HTTP_A="b"),
    good("a tab behind the colon", get(b"A:\tb"), HTTP_A="b"),
    good("white space around", get(b"A: \t b \t "), HTTP_A="b"),
    good("white space within", get(b"A: b  c\td"), HTTP_A="b  c\td"),
    good("nothing", get(b"A:"), HTTP_A=""),
    good("white space alone", get(b"A: \t "), HTTP_A=""),
    good("colons", get(b"A: b:c: d"), HTTP_A="b:c: d"),
    good("quotes", get(b'A: "b\\"c"'), HTTP_A='"b\\"c"'),
    good("every visible character", get(b"A: " + bytes(range(0x21, 0x7F))), HTTP_A=bytes(range(0x21, 0x7F)).decode()),
    good(
        "every byte above",
        get(b"A: x" + bytes(range(0x80, 0x100)) + b"x"),
        HTTP_A="x" + bytes(range(0x80, 0x100)).decode("latin-1") + "x",
    ),
    good("NEL and no-break space at the ends stay", get(b"A: \x85b\xa0"), HTTP_A="\x85b\xa0"),
    good("raw UTF-8", get("A: ä".encode()), HTTP_A="\xc3\xa4"),
    good("something like an escape", get(b"A: %0d%0aB: c"), HTTP_A="%0d%0aB: c", HTTP_B=None),
    good("something like a shell", get(b"A: () { :;}; x"), HTTP_A="() { :;}; x"),
    # names
    good("name in capitals", get(b"X-ABC: d"), HTTP_X_ABC="d"),
    good("name in lower case", get(b"x-abc: d"), HTTP_X_ABC="d"),
    good("name with digits", get(b"X-1: d"), HTTP_X_1="d"),
    good("name of a digit", get(b"1: d"), HTTP_1="d"),
    Case("name with a dot", get(b"X.Y: d"), 200, keep=True, seen={"HTTP_X.Y": "d"}),
    Case("name of odd token characters", get(b"!#$%&'*+.^`|~: d"), 200, keep=True, seen={"HTTP_!#$%&'*+.^`|~": "d"}),
    good("name that is a dash", get(b"-: d"), HTTP__="d"),
    good("name that is known", get(b"Content-Type: text/plain"), CONTENT_TYPE="text/plain", HTTP_CONTENT_TYPE=None),
    good("name that is __proto__", get(b"__proto__: x"), HTTP___PROTO__=None),
    # repeated fields
    good("repeated", get(b"A: b", b"A: c"), HTTP_A="b,c"),
    good("repeated in another case", get(b"Abc: 1", b"aBC: 2", b"ABC: 3"), HTTP_ABC="1,2,3"),
    good("repeated, one empty", get(b"A:", b"A: c"), HTTP_A=",c"),
    good("repeated, far apart", get(b"A: 1", b"B: 2", b"A: 3"), HTTP_A="1,3", HTTP_B="2"),
    good("repeated cookies", get(b"Cookie: a=b", b"Cookie: c=d"), HTTP_COOKIE="a=b; c=d"),
    # underscores: X_Real_IP would pass for X-Real-IP
    good("underscore", get(b"X_A: b"), HTTP_X_A=None),
    good("underscore beside the real one", get(b"X-A: real", b"X_A: forged"), HTTP_X_A="real"),
    good("underscore before the real one", get(b"X_A: forged", b"X-A: real"), HTTP_X_A="real"),
    good("underscore in one of two places", get(b"X-A_B: c"), HTTP_X_A_B=None),
    good("underscore alone", get(b"_: c"), HTTP__=None),
    good("underscore Host", get(b"_Host: b", b"Host_: c"), HTTP_HOST="a", HTTP__HOST=None, HTTP_HOST_=None),
    good("underscore content type", get(b"Content_Type: text/html"), CONTENT_TYPE=None, HTTP_CONTENT_TYPE=None),
    good("underscore forwarded", get(b"X_Forwarded_For: 6.6.6.6"), HTTP_X_FORWARDED_FOR=None),
    good("underscore authorization", get(b"Remote_User: root"), REMOTE_USER=None, HTTP_REMOTE_USER=None),
    # what a client must not be able to set
    good("Proxy", get(b"Proxy: http://evil"), HTTP_PROXY=None),
    good("Proxy in capitals", get(b"PROXY: http://evil"), HTTP_PROXY=None),
    good("Proxy repeated", get(b"Proxy: a", b"Proxy: b"), HTTP_PROXY=None),
    good("Script-Name", get(b"Script-Name: /x"), SCRIPT_NAME=""),
    good("SCRIPT_NAME", get(b"SCRIPT_NAME: /x"), SCRIPT_NAME="", HTTP_SCRIPT_NAME=None),
    good("Path-Info", get(b"Path-Info: /x"), PATH_INFO="/"),
    good("Remote-Addr", get(b"Remote-Addr: 6.6.6.6"), HTTP_REMOTE_ADDR="6.6.6.6"),
    good("Remote-User", get(b"Remote-User: root"), REMOTE_USER=None),
    good("Server-Protocol", get(b"Server-Protocol: HTTP/9.9"), SERVER_PROTOCOL="HTTP/1.1"),
    good("Http-Host", get(b"Http-Host: evil"), HTTP_HOST="a"),
    good("Request-Method", get(b"Request-Method: POST"), REQUEST_METHOD="GET"),
    good("X-HTTP-Method-Override", get(b"X-HTTP-Method-Override: PUT"), REQUEST_METHOD="GET"),
    good("a field named like a key of WSGI", get(b"wsgi.url-scheme: https"), HTTP_HOST="a"),
    # folding
    bad("folded", get(b"A: b", b" c")),
    bad("folded with a tab", get(b"A: b", b"\tc")),
    bad("folded after nothing", get(b"A:", b" b")),
    bad("folded, white space alone", get(b"A: b", b" ")),
    bad("folded, something like a field", get(b"A: b", b" Content-Length: 5")),
    bad("folded behind the request line", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    bad("folded behind the request line with a tab", b"GET / HTTP/1.1\r\n\tA: b\r\nHost: a\r\n\r\n"),
    bad("folded twice", get(b"A: b", b" c", b" d")),
    # bad names
    bad("no name", get(b": b")),
    bad("no name, no value", get(b":")),
    bad("no colon", get(b"A")),
    bad("no colon but an equals sign", get(b"A=b")),
    bad("space before the colon", get(b"A : b")),
    bad("tab before the colon", get(b"A\t: b")),
    bad("vertical tab before the colon", get(b"A\x0b: b")),
    bad("no-break space before the colon", get(b"A\xa0: b")),
    bad("space in the name", get(b"A B: c")),
    *(bad(f"{mark} in the name", get(b"A" + mark.encode() + b"B: c")) for mark in '()<>@,;\\"/[]?={}'),
    bad("NUL in the name", get(b"A\x00: b")),
    bad("NUL before the name", get(b"\x00A: b")),
    bad("control in the name", get(b"A\x01: b")),
    bad("DEL in the name", get(b"A\x7f: b")),
    bad("bare CR in the name", get(b"A\rB: c")),
    bad("raw UTF-8 in the name", get("Ä: b".encode())),
    bad("latin-1 in the name", get(b"\xc4: b")),
    bad("a byte order mark before the name", get(b"\xef\xbb\xbfA: b")),
    bad("a Kelvin sign in the name", get("\u212aey: b".encode())),
    bad("a second request line", get(b"GET /smuggled HTTP/1.1")),
    # bad values
    bad("NUL in the value", get(b"A: b\x00c")),
    bad("NUL alone", get(b"A: \x00")),
    bad("bell", get(b"A: \x07")),
    bad("backspace", get(b"A: b\x08")),
    bad("vertical tab", get(b"A: b\x0bc")),
    bad("vertical tab before the value", get(b"A:\x0bb")),
    bad("form feed", get(b"A: b\x0cc")),
    bad("form feed behind the value", get(b"A: b\x0c")),
    bad("escape character", get(b"A: \x1b[31m")),
    bad("file separator behind the value", get(b"A: b\x1c")),
    bad("unit separator", get(b"A: b\x1fc")),
    bad("DEL", get(b"A: \x7f")),
    bad("NUL in a cookie", get(b"Cookie: a=\x00")),
    bad("NUL in the type of a body", post(b"Content-Type: a\x00", b"Content-Length: 2", body=b"ab")),
    bad("NUL in an underscore field", get(b"X_A: \x00")),
]


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_fields(server: Server, case: Case, mode: Mode) -> None:
    server.play(case, mode)
