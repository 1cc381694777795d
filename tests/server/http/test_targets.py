"""Request targets: origin, absolute, asterisk and authority form (RFC 9112, 3.2), and what the application sees of
them.
"""

from __future__ import annotations

import pytest

from harness.cases import Case, Mode, Server, bad, first, get, good, old


def target(value: bytes, method: bytes = b"GET") -> bytes:
    return first(method + b" " + value + b" HTTP/1.1")


CASES = [
    # origin form
    good("root", target(b"/"), PATH_INFO="/", QUERY_STRING="", SCRIPT_NAME="", REQUEST_URI="/"),
    good("path", target(b"/a/b.c"), PATH_INFO="/a/b.c"),
    good("path with a slash behind", target(b"/a/"), PATH_INFO="/a/"),
    good("path of two slashes", target(b"//a//b"), PATH_INFO="//a//b"),
    good("path that looks like an authority", target(b"//evil/b"), PATH_INFO="//evil/b", HTTP_HOST="a"),
    good("path with dots", target(b"/a/../b/./c"), PATH_INFO="/a/../b/./c"),
    good("path with an absolute URI", target(b"/http://b/c"), PATH_INFO="/http://b/c", HTTP_HOST="a"),
    good("path with a colon", target(b"/a:b@c"), PATH_INFO="/a:b@c"),
    good("path with parameters", target(b"/a;b=c"), PATH_INFO="/a;b=c"),
    good("path with sub-delimiters", target(b"/!$&'()*+,;="), PATH_INFO="/!$&'()*+,;="),
    good("path with quotes and braces", target(b'/"{a}|\\^`<b>'), PATH_INFO='/"{a}|\\^`<b>'),
    good(
        "path with escapes", target(b"/a%20b%2Fc"), PATH_INFO="/a b/c", REQUEST_URI="/a%20b%2Fc", RAW_URI="/a%20b%2Fc"
    ),
    good("path with escapes in lower case", target(b"/%c3%a4"), PATH_INFO="/\xc3\xa4"),
    good("path with escapes of line ends", target(b"/a%0d%0ab"), PATH_INFO="/a\r\nb"),
    good("path with an escaped NUL", target(b"/a%00b"), PATH_INFO="/a\x00b"),
    good("path with an escaped question mark", target(b"/a%3Fb?c"), PATH_INFO="/a?b", QUERY_STRING="c"),
    good("path with an escaped percent sign", target(b"/%2541"), PATH_INFO="/%41"),
    good("path with a bad escape", target(b"/%zz%4"), PATH_INFO="/%zz%4"),
    good("path with a percent sign behind", target(b"/a%"), PATH_INFO="/a%"),
    good("path in raw UTF-8", target("/ä".encode()), PATH_INFO="/\xc3\xa4"),
    good("path of raw bytes", target(b"/\x80\xff"), PATH_INFO="/\x80\xff"),
    good("path with a plus", target(b"/a+b"), PATH_INFO="/a+b"),
    good("query", target(b"/a?b=c&d"), PATH_INFO="/a", QUERY_STRING="b=c&d"),
    good("empty query", target(b"/a?"), PATH_INFO="/a", QUERY_STRING="", REQUEST_URI="/a?"),
    good("query with a question mark", target(b"/a?b?c"), QUERY_STRING="b?c"),
    good("query with a slash", target(b"/a?/b/../c"), PATH_INFO="/a", QUERY_STRING="/b/../c"),
    good("query with escapes", target(b"/a?b=%20%0d%0a"), QUERY_STRING="b=%20%0d%0a"),
    good("query in raw UTF-8", target("/a?ä".encode()), QUERY_STRING="\xc3\xa4"),
    good("query with brackets", target(b"/a?b[]=c"), QUERY_STRING="b[]=c"),
    bad("fragment", target(b"/a#b")),
    bad("fragment behind a query", target(b"/a?b#c")),
    bad("fragment alone", target(b"#")),
    bad("NUL in the path", target(b"/a\x00b")),
    bad("control in the path", target(b"/a\x01b")),
    bad("escape character in the path", target(b"/\x1b[31m")),
    bad("DEL in the path", target(b"/a\x7fb")),
    bad("vertical tab in the query", target(b"/a?\x0b")),
    bad("tab in the query", target(b"/a?b\tc")),
    bad("path without a slash", target(b"a")),
    bad("path that begins with a dot", target(b"./a")),
    bad("path that begins with a dash", target(b"-")),
    bad("path that begins with an escape", target(b"%2Fa")),
    bad("path that begins with a backslash", target(b"\\a")),
    bad("query alone", target(b"?a")),
    # absolute form
    good(
        "absolute", target(b"http://b/c?d"), PATH_INFO="/c", QUERY_STRING="d", HTTP_HOST="b", REQUEST_URI="http://b/c?d"
    ),
    good("absolute without a path", target(b"http://b"), PATH_INFO="/", HTTP_HOST="b"),
    good("absolute with a query and no path", target(b"http://b?c"), PATH_INFO="/", QUERY_STRING="c", HTTP_HOST="b"),
    good("absolute with a port", target(b"http://b:8000/"), HTTP_HOST="b:8000"),
    good("absolute with an IPv6 address", target(b"http://[::1]:80/"), HTTP_HOST="[::1]:80"),
    good("absolute in capitals", target(b"HTTP://B/C"), PATH_INFO="/C", HTTP_HOST="B"),
    good("absolute by https", target(b"https://b/"), PATH_INFO="/", HTTP_HOST="b"),
    good("absolute with two slashes", target(b"http://b//c"), PATH_INFO="//c", HTTP_HOST="b"),
    good("absolute with another in it", target(b"http://b/http://c/"), PATH_INFO="/http://c/", HTTP_HOST="b"),
    good("absolute with an at sign in its path", target(b"http://b/@c"), PATH_INFO="/@c", HTTP_HOST="b"),
    good("absolute for OPTIONS", target(b"http://b/c", b"OPTIONS"), PATH_INFO="/c", HTTP_HOST="b"),
    good("absolute in 1.0", b"GET http://b/c HTTP/1.0\r\n\r\n", keep=False, PATH_INFO="/c", HTTP_HOST="b"),
    bad("absolute with an invalid Host beside it", get(first=b"GET http://b/ HTTP/1.1", host=b"Host: a/b")),
    bad("absolute with user information", target(b"http://u@b/")),
    bad("absolute with user and password", target(b"http://u:p@b/")),
    bad("absolute without an authority", target(b"http:///c")),
    bad("absolute with nothing else", target(b"http://")),
    bad("absolute with a port alone", target(b"http://:80/")),
    bad("absolute with one slash", target(b"http:/b")),
    bad("absolute without slashes", target(b"http:b")),
    bad("absolute with backslashes", target(b"http:\\\\b\\")),
    bad("absolute with a backslash in its authority", target(b"http://b\\c/")),
    bad("absolute with a list", target(b"http://b,c/")),
    bad("absolute with a port too high", target(b"http://b:65536/")),
    bad("absolute with a port in letters", target(b"http://b:c/")),
    bad("absolute with a broken address", target(b"http://[::1/")),
    bad("absolute with a fragment", target(b"http://b/#c")),
    bad("absolute with raw UTF-8 in its authority", target("http://ä/".encode())),
    bad("absolute by ftp", target(b"ftp://b/")),
    bad("absolute by ws", target(b"ws://b/")),
    bad("absolute by file", target(b"file:///etc/passwd")),
    bad("absolute by gopher", target(b"gopher://b/")),
    bad("absolute by javascript", target(b"javascript:x")),
    bad("absolute with an empty scheme", target(b"://b/")),
    # asterisk form
    good(
        "OPTIONS of the server",
        target(b"*", b"OPTIONS"),
        REQUEST_METHOD="OPTIONS",
        PATH_INFO="/",
        REQUEST_URI="*",
        QUERY_STRING="",
    ),
    good("OPTIONS of a path", target(b"/a", b"OPTIONS"), PATH_INFO="/a"),
    good("OPTIONS of a path that is a star", target(b"/*", b"OPTIONS"), PATH_INFO="/*"),
    bad("GET of the server", target(b"*")),
    bad("HEAD of the server", target(b"*", b"HEAD")),
    bad("POST of the server", target(b"*", b"POST")),
    bad("options in lower case of the server", target(b"*", b"options")),
    bad("OPTIONS of two stars", target(b"**", b"OPTIONS")),
    bad("OPTIONS of a star and a query", target(b"*?a", b"OPTIONS")),
    bad("OPTIONS of a star and a path", target(b"*/a", b"OPTIONS")),
    # authority form
    bad("authority", target(b"a:80")),
    bad("authority without a port", target(b"a.example")),
    bad("authority, POST", target(b"a:80", b"POST")),
    bad("authority, OPTIONS", target(b"a:80", b"OPTIONS")),
    bad("authority of an IPv6 address", target(b"[::1]:80")),
    bad("authority in 1.0", old().replace(b" / ", b" a:80 ")),
]


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_targets(server: Server, case: Case, mode: Mode) -> None:
    server.play(case, mode)
