"""A kind of request: its bytes on the wire, and what its answer must show."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from harness.strict.answer import Answer, Broken


@dataclass(frozen=True)
class Template:
    """A kind of request; ``{nonce}`` is replaced in target, headers and body.

    ``echo``: where the answer must show the nonce: the whole ``body`` is what was
    sent, the body ``contains`` it, the header ``X-Nonce`` has it, or ``none``.
    """

    method: str = "POST"
    target: str = "/echo?{nonce}"
    weight: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = "{nonce}"
    pad: int = 2000  # up to so many random bytes more
    chunked: bool = False
    echo: str = "body"
    statuses: tuple[int, ...] = (200,)


DEFAULT_TEMPLATES = (
    Template(weight=8),
    Template(weight=1, chunked=True),
    Template("GET", "/release?{nonce}", 1, body=None, echo="header"),
)


def compose(template: Template, host: str, last: bool, chance: random.Random) -> tuple[bytes, bytes | None]:
    """One request's bytes, with ``Connection: close`` if it is the ``last`` of its connection; and what the answer must
    show (None: nothing).
    """
    nonce = f"{chance.getrandbits(64):016x}"
    plain = body = b""
    lines = [f"{template.method} {template.target.replace('{nonce}', nonce)} HTTP/1.1", f"Host: {host}"]
    lines.append(f"X-Nonce: {nonce}")
    lines += [f"{name}: {value.replace('{nonce}', nonce)}" for name, value in template.headers.items()]
    if template.body is not None:
        plain = body = template.body.replace("{nonce}", nonce).encode() + b"." * chance.randrange(template.pad + 1)
        if template.chunked:
            cut = chance.randrange(len(body) + 1)
            body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
            body += b"0\r\n\r\n"
            lines.append("Transfer-Encoding: chunked")
        else:
            lines.append(f"Content-Length: {len(body)}")
    if last:
        lines.append("Connection: close")
    wanted = {"body": plain, "contains": nonce.encode(), "header": nonce.encode()}.get(template.echo)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body, wanted


def check(template: Template, answer: Answer, wanted: bytes | None) -> None:
    """Whether it is the answer to that very request. Raises Broken."""
    if answer.status not in template.statuses:
        raise Broken("status", f"{template.method} {template.target}: {answer.status}, {answer.body[:200]!r}")
    if template.echo == "body" and answer.body != wanted:
        seen = f"{len(wanted or b'')} bytes sent, {len(answer.body)} others came back: {answer.body[:60]!r}"
        raise Broken("echo", seen)
    if template.echo == "contains" and wanted is not None and wanted not in answer.body:
        raise Broken("echo", f"{wanted!r} is not in the answer of {len(answer.body)} bytes")
    if template.echo == "header" and wanted is not None and answer.headers.get("x-nonce") != wanted.decode():
        raise Broken("echo", f"X-Nonce is {answer.headers.get('x-nonce')}, {wanted!r} was sent")
