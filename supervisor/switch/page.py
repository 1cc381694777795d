"""The text of a page: what a person would read first of it, without its tags.

The page is the application's and may be anything: it is read once from front to end, and none of it is trusted.
"""

from __future__ import annotations

import re

PAGE_MAX = 64 * 1024  # characters of a page that are looked at
_TAG = re.compile(r"<(?:(!--)|/?([a-z][a-z0-9]*)|[!?])")
_UNSEEN = ("script", "style", "template", "svg")  # what is in them is not shown
_INLINE = ("a", "abbr", "b", "code", "em", "i", "small", "span", "strong", "sub", "sup", "u")


def first_words(body: bytes, kind: str, length: int) -> str:
    """The beginning of a response's body in one line of at most ``length`` characters, and ``…`` where there is more.

    ``kind`` is its Content-Type; tags are taken out of HTML, whatever it is called.
    """
    page = body[: 4 * PAGE_MAX].decode("utf-8", "replace")[:PAGE_MAX].strip()
    text = " ".join((_without_tags(page) if "html" in kind.lower() or page.startswith("<") else page).split())
    return text if len(text) <= length else f"{text[:length]}…"


def _without_tags(page: str) -> str:
    shown = []
    small = re.sub("[A-Z]+", lambda found: found[0].lower(), page)  # names of tags go by no case
    at = 0
    while (begin := page.find("<", at)) >= 0:
        shown.append(page[at:begin])
        tag = _TAG.match(small, begin)
        if tag is None:  # a sign, as in 1 < 2
            shown.append("<")
            at = begin + 1
            continue
        name = tag[2] or ""
        if name not in _INLINE:
            shown.append(" ")
        opens = tag[2] is not None and page[begin + 1] != "/"
        end = f"</{name}" if opens and name in _UNSEEN else "-->" if tag[1] else ">"
        found = small.find(end, begin + 1)
        if found < 0:  # it is cut off here
            return _plain("".join(shown))
        at = found if end.startswith("</") else found + len(end)
    shown.append(page[at:])
    return _plain("".join(shown))


def _plain(text: str) -> str:
    """A text without character references (``&lt;``)."""
    import html  # its table of names costs a start 1 ms

    return html.unescape(text)
