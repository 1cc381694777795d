"""The grammar of HTTP/1.1 requests, read byte by byte: what the server has to accept and refuse. Slow and obvious.

It shares no line with the server and uses no pattern, so that the two are wrong together only where both misread the
RFC. Each rule stands under its name in RFC 9110, RFC 9112, RFC 3986. Where the server is stricter than a rule, which it
may be, or takes raw bytes in a target, the function says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from releve.config.settings.limits import Limits

DIGIT = frozenset(b"0123456789")
HEXDIG = DIGIT | frozenset(b"abcdefABCDEF")
ALPHA = frozenset(range(0x41, 0x5B)) | frozenset(range(0x61, 0x7B))
VCHAR = frozenset(range(0x21, 0x7F))
OBS_TEXT = frozenset(range(0x80, 0x100))
WSP = frozenset(b" \t")
TCHAR = frozenset(b"!#$%&'*+-.^_`|~") | DIGIT | ALPHA
FIELD_TEXT = VCHAR | OBS_TEXT | WSP
TARGET_CHAR = (VCHAR | OBS_TEXT) - frozenset(b"#")  # wider than RFC 3986: clients send raw UTF-8, and quotes
UNRESERVED = ALPHA | DIGIT | frozenset(b"-._~")

LINE_MAX_BYTES = 4096  # of a chunk size with its extensions, and of a trailer field
SECTION_MAX_BYTES = 64 * 1024  # of all extensions, and of all trailer fields


class Refused(Exception):
    """The bytes are no request."""


def need(condition: object) -> None:
    if not condition:
        raise Refused


# ---------------------------------------------------------------- heads


@dataclass(frozen=True)
class Message:
    """A request head: ``fields`` without the white space around their values, ``end`` the index behind the
    empty line.
    """

    end: int
    method: bytes
    target: bytes
    version: tuple[int, int]
    fields: list[tuple[bytes, bytes]]
    content_length: int | None
    chunked: bool
    keep_alive: bool
    expect_continue: bool

    def serialised(self) -> bytes:
        version = b"HTTP/%d.%d" % self.version
        lines = [b" ".join((self.method, self.target, version)), *(name + b":" + value for name, value in self.fields)]
        return b"\r\n".join(lines) + b"\r\n\r\n"


def request(data: bytes, limits: Limits) -> Message | None:
    """The head at the beginning of ``data``; ``None`` if its empty line is missing. Raises Refused."""
    if b"\r\n\r\n" not in data:
        return None
    start = 2 if data[:2] == b"\r\n" else 0  # RFC 9112, 2.2: one empty line before the request line is no harm
    lines, end = [], start
    while True:
        line_end = data.find(b"\r\n", end)
        need(line_end >= 0)
        line, end = data[end:line_end], line_end + 2
        if not line:
            break
        lines.append(line)
    need(lines)
    need(end - start <= limits.head and len(lines[0]) <= limits.request_line)
    need(len(lines) - 1 <= limits.headers and all(len(line) <= limits.header for line in lines[1:]))
    method, target, version = request_line(lines[0])
    fields = [field_line(line) for line in lines[1:]]
    check_host(fields, version)
    length, chunked = message_body_length(fields, version)
    need(length is None or limits.body is None or length <= limits.body)
    return Message(
        end, method, target, version, fields, length, chunked, keep_alive(fields, version), expectation(fields, version)
    )


def request_line(line: bytes) -> tuple[bytes, bytes, tuple[int, int]]:
    """RFC 9112, 3: method SP request-target SP HTTP-version."""
    parts = line.split(b" ")
    need(len(parts) == 3)
    method, target, version = parts
    need(is_token(method) and method != b"CONNECT")
    need(version in (b"HTTP/1.0", b"HTTP/1.1"))
    need(target and all(byte in TARGET_CHAR for byte in target))
    if target == b"*":
        need(method == b"OPTIONS")
    elif not target.startswith(b"/"):
        need_absolute_form(target)
    return method, target, (1, version[-1] - 0x30)


def need_absolute_form(target: bytes) -> None:
    """RFC 9112, 3.2.2, for http and https; no user information (RFC 9110, 4.2.4)."""
    scheme, separator, rest = target.partition(b"://")
    need(separator and scheme.lower() in (b"http", b"https"))
    authority = b""
    for index in range(len(rest)):
        if rest[index : index + 1] in (b"/", b"?"):
            break
        authority = rest[: index + 1]
    need(is_host(authority))


def field_line(line: bytes) -> tuple[bytes, bytes]:
    """RFC 9112, 5: field-name ":" OWS field-value OWS, and no obs-fold."""
    name, colon, value = line.partition(b":")
    need(colon and is_token(name) and all(byte in FIELD_TEXT for byte in value))
    return name, trimmed(value)


def check_host(fields: list[tuple[bytes, bytes]], version: tuple[int, int]) -> None:
    """RFC 9112, 3.2: once in HTTP/1.1, never twice, and valid."""
    hosts = values(fields, b"host")
    need(len(hosts) <= 1 and all(is_host(host) for host in hosts))
    need(hosts or version == (1, 0))


def message_body_length(fields: list[tuple[bytes, bytes]], version: tuple[int, int]) -> tuple[int | None, bool]:
    """RFC 9112, 6.3.

    Nothing is repaired: one Content-Length of digits, or one Transfer-Encoding that is ``chunked``, never both.
    """
    lengths, codings = values(fields, b"content-length"), values(fields, b"transfer-encoding")
    need(len(lengths) + len(codings) <= 1)
    if codings:
        need(version == (1, 1) and codings[0].lower() == b"chunked")
        return None, True
    if not lengths:
        return None, False
    need(1 <= len(lengths[0]) <= 18 and all(byte in DIGIT for byte in lengths[0]))
    number = 0
    for byte in lengths[0]:
        number = number * 10 + byte - 0x30
    return number, False


def keep_alive(fields: list[tuple[bytes, bytes]], version: tuple[int, int]) -> bool:
    """RFC 9112, 9.3. Stricter: what is no list of tokens closes."""
    options = [option for option in members(fields, b"connection") if option]
    if b"close" in options or not all(is_token(option) for option in options):
        return False
    return version == (1, 1) or b"keep-alive" in options


def expectation(fields: list[tuple[bytes, bytes]], version: tuple[int, int]) -> bool:
    """RFC 9110, 10.1.1; empty members do not count (5.6.1.2)."""
    expected = [member for member in members(fields, b"expect") if member]
    if version == (1, 0):
        return False
    need(all(member == b"100-continue" for member in expected))
    return bool(expected)


def values(fields: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for other, value in fields if other.lower() == name]


def members(fields: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [trimmed(member).lower() for value in values(fields, name) for member in value.split(b",")]


def trimmed(value: bytes) -> bytes:
    while value and value[0] in WSP:
        value = value[1:]
    while value and value[-1] in WSP:
        value = value[:-1]
    return value


def is_token(value: bytes) -> bool:
    return bool(value) and all(byte in TCHAR for byte in value)


def is_host(value: bytes) -> bool:
    """RFC 3986, 3.2.2 and 3.2.3.

    Stricter: not empty, no sub-delims, no IPvFuture, a port of at most five digits that is one.
    """
    if value.startswith(b"["):
        name, bracket, port = value[1:].partition(b"]")
        if not bracket or not is_ipv6(name):
            return False
    else:
        name, colon, tail = value.partition(b":")
        port = colon + tail
        if not is_reg_name(name):
            return False
    if not port:
        return True
    digits = port[1:]
    return (
        port[:1] == b":" and len(digits) <= 5 and all(byte in DIGIT for byte in digits) and int(digits or b"0") <= 65535
    )


def is_reg_name(name: bytes) -> bool:
    index = 0
    while index < len(name):
        if name[index] == 0x25:
            if not (len(name) >= index + 3 and name[index + 1] in HEXDIG and name[index + 2] in HEXDIG):
                return False
            index += 3
        elif name[index] in UNRESERVED:
            index += 1
        else:
            return False
    return bool(name)


def is_ipv6(address: bytes) -> bool:
    """RFC 3986, 3.2.2: eight groups of sixteen bits, or fewer around one "::"; the last two may be an IPv4 address."""
    if address.count(b"::") > 1 or b":::" in address:
        return False
    left, short, right = address.partition(b"::")
    groups = groups_of(left, last=not short), groups_of(right, last=True)
    if groups[0] is None or groups[1] is None:
        return False
    total = groups[0] + groups[1]
    return total <= 7 if short else total == 8


def groups_of(part: bytes, *, last: bool) -> int | None:
    """How many groups stand in ``part`` of an address; an IPv4 address may end the ``last`` part and counts as two."""
    if not part:
        return 0
    pieces = part.split(b":")
    count = 0
    for index, piece in enumerate(pieces):
        if last and index == len(pieces) - 1 and b"." in piece:
            numbers = piece.split(b".")
            if len(numbers) != 4 or not all(is_dec_octet(number) for number in numbers):
                return None
            count += 2
        elif 1 <= len(piece) <= 4 and all(byte in HEXDIG for byte in piece):
            count += 1
        else:
            return None
    return count


def is_dec_octet(number: bytes) -> bool:
    digits = bool(number) and all(byte in DIGIT for byte in number)
    return digits and (number == b"0" or number[0] != 0x30) and len(number) <= 3 and int(number) <= 255


# ---------------------------------------------------------------- chunked bodies


@dataclass(frozen=True)
class Body:
    """What a chunked body comes to: ``content`` as far as it is there, and, once it is ``finished``, the ``rest``
    behind it.
    """

    content: bytes
    finished: bool = False
    refused: bool = False
    rest: bytes = b""


def chunked_body(data: bytes) -> Body:
    """RFC 9112, 7.1."""
    content = b""
    extensions = trailers = 0
    try:
        while True:
            line = line_of(data)
            if line is None:
                return Body(content)
            data = data[len(line) + 2 :]
            size, extension_bytes = chunk_size(line)
            extensions += extension_bytes
            need(extensions <= SECTION_MAX_BYTES)
            if size == 0:
                break
            content += data[:size]
            if len(data) < size:
                return Body(content)
            data = data[size:]
            need(data[:2] in (b"", b"\r", b"\r\n"))
            if len(data) < 2:
                return Body(content)
            data = data[2:]
        while True:
            line = line_of(data)
            if line is None:
                return Body(content)
            data = data[len(line) + 2 :]
            if not line:
                return Body(content, finished=True, rest=data)
            field_line(line)
            trailers += len(line)
            need(trailers <= SECTION_MAX_BYTES)
    except Refused:
        return Body(content, refused=True)


def line_of(data: bytes) -> bytes | None:
    """The first line without its CRLF; ``None`` if it is not all there. LF without CR ends none (RFC 9112, 2.2)."""
    line_feed = data.find(b"\n")
    if line_feed < 0:
        need(len(data) <= LINE_MAX_BYTES + 1)
        return None
    need(line_feed >= 1 and data[line_feed - 1] == 0x0D and line_feed - 1 <= LINE_MAX_BYTES)
    return data[: line_feed - 1]


def chunk_size(line: bytes) -> tuple[int, int]:
    """RFC 9112, 7.1 and 7.1.1: chunk-size [ chunk-ext ], and how long the extensions are.

    Stricter: at most fifteen digits.
    """
    digits = 0
    while digits < len(line) and line[digits] in HEXDIG:
        digits += 1
    need(1 <= digits <= 15)
    index = digits
    while index < len(line):  # *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
        index = past(line, index, WSP)
        need(line[index : index + 1] == b";")
        index = some_token(line, past(line, index + 1, WSP))
        value = past(line, index, WSP)
        if line[value : value + 1] == b"=":
            value = past(line, value + 1, WSP)
            index = quoted_string(line, value) if line[value : value + 1] == b'"' else some_token(line, value)
    return int(line[:digits].decode("ascii"), 16), len(line) - digits


def past(line: bytes, index: int, allowed: frozenset[int]) -> int:
    while index < len(line) and line[index] in allowed:
        index += 1
    return index


def some_token(line: bytes, index: int) -> int:
    end = past(line, index, TCHAR)
    need(end > index)
    return end


def quoted_string(line: bytes, index: int) -> int:
    """RFC 9110, 5.6.4; the index behind the closing quote."""
    index += 1
    while True:
        need(index < len(line))
        byte = line[index]
        if byte == 0x22:
            return index + 1
        if byte == 0x5C:
            index += 1
            need(index < len(line) and line[index] in FIELD_TEXT)
        else:
            need(byte in FIELD_TEXT)
        index += 1
