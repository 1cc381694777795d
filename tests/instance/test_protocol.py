"""Messages of the control socket, written and read."""

from __future__ import annotations

from typing import Any

import pytest

from releve.instance.protocol import (
    VERSION,
    ProtocolError,
    Status,
    decode,
    encode,
    read_request,
    request,
    result,
)


def test_a_message_is_one_line_whatever_is_in_it() -> None:
    said = result(Status.DEGRADED, "größe\nof \u2028 lines", next="")
    line = encode(said)
    assert line.count(b"\n") == 1 and line.endswith(b"\n") and line.isascii()
    assert decode(line) == {"event": "result", "status": 8, "message": "größe\nof \u2028 lines", "next": ""}


@pytest.mark.parametrize("line", [b"", b"x\n", b"[1]\n", b'"text"\n', b"\xff\n", b"[" * 100_000])
def test_what_is_no_message_is_an_error_of_the_protocol(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="cannot read a message"):
        decode(line)


def test_a_request_is_read_as_it_was_written() -> None:
    assert read_request(decode(encode(request("scale", {"workers": 3}))), ("scale",)) == ("scale", {"workers": 3})
    assert read_request({"version": VERSION, "verb": "status"}, ("status",)) == ("status", {})


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ({"verb": "status"}, "of version None: this supervisor speaks 1; use the ctl of its release"),
        ({"version": VERSION + 1, "verb": "status"}, "use the ctl of its release"),
        ({"version": "1", "verb": "status"}, "use the ctl of its release"),
        ({"version": 1, "verb": "explode"}, "cannot do 'explode': no such verb; this supervisor knows status, stop"),
        ({"version": 1, "verb": ["status"]}, "no such verb"),
        ({"version": 1, "verb": "stop", "arguments": []}, "cannot stop: its arguments are not an object"),
    ],
)
def test_a_request_that_cannot_be_served_says_what_to_do(event: dict[str, Any], why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        read_request(event, ("status", "stop"))
