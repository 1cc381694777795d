"""The text of a page, without its tags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releve.supervisor.switch.page import first_words

PAGE = b"""<!DOCTYPE html><html><head><title>Server Error (500)</title>
<STYLE>body { color: red; } h1 > p { x: y }</STYLE><script>if (1 < 2) { document.write("<p>no</p>"); }</script></head>
<body><!-- > nobody reads <b>this</b> --><h1>Sorry &amp; goodbye</h1><p class="a">It is b<b>ro</b>ken.</p></body>"""


def test_the_words_of_a_page_are_those_that_a_browser_shows() -> None:
    assert first_words(PAGE, "text/html; charset=utf-8", 200) == "Server Error (500) Sorry & goodbye It is broken."


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b'{"detail": "no <database>"}', "application/json", '{"detail": "no <database>"}'),
        (b"1 < 2\n  and 3 > 2", "text/plain", "1 < 2 and 3 > 2"),
        (b"<p>1 < 2</p>", "", "1 < 2"),
        (b"<p>seen<script>never closed", "text/html", "seen"),
        (b"<p>seen</p><p clas", "text/html", "seen"),
        (b"", "text/html", ""),
        (b"\xff\xfe", "text/plain", "\ufffd\ufffd"),
        (b"x" * 20, "text/plain", "xxxxxxxxxx…"),
    ],
)
def test_other_bodies_and_ends(body: bytes, kind: str, words: str) -> None:
    assert first_words(body, kind, 10 if words.endswith("…") else 200) == words


@given(st.binary(max_size=300) | st.text("<>/!-?scriptyle &;a", max_size=300).map(str.encode))
def test_whatever_an_application_answers_is_one_short_line(body: bytes) -> None:
    words = first_words(body, "text/html", 40)
    assert len(words) <= 41 and len(words.splitlines()) <= 1
