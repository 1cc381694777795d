"""Django, Flask, Pyramid and Bottle on a real worker: what each does with forms, files, streams and cookies."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterator

import pytest

from harness.frameworks import SITES
from harness.workers import Client, Generation, Response, listening

BINARY = bytes(range(256)) * 400
UPLOAD = BINARY * 20  # 2 MiB: beyond what a framework keeps in memory


@pytest.fixture(scope="module", params=list(SITES))
def framework(request: pytest.FixtureRequest) -> str:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.fixture(scope="module")
def generation(framework: str) -> Iterator[Generation]:
    with listening() as sock, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELEVE_TEST_FRAMEWORK", framework)
        made = Generation(8, [("127.0.0.1:8000", sock)])
        made.start("frameworks", threads=4).resume()
        yield made
        made.close()


@pytest.fixture(scope="module")
def buffering(framework: str) -> Iterator[Generation]:
    """With ``request.buffer_chunked``."""
    with listening() as sock, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RELEVE_TEST_FRAMEWORK", framework)
        made = Generation(8, [("127.0.0.1:8000", sock)])
        made.start("frameworks", threads=4, request={"buffer_chunked": 3 << 20}).resume()
        yield made
        made.close()


@pytest.fixture
def client(generation: Generation) -> Client:
    return Client(generation.listeners[0][1].getsockname())


def ask(client: Client, path: str, method: str = "GET", body: bytes = b"", more: str = "") -> Response:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    client.send(f"{method} {path} HTTP/1.1\r\nHost: a\r\n{length}{more}\r\n".encode() + body)
    return client.answer(head=method == "HEAD")


def in_chunks(client: Client, path: str, kind: str, sent: bytes) -> Response:
    client.send(
        f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    for at in range(0, len(sent), 100_000):
        piece = sent[at : at + 100_000]
        client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    client.send(b"0\r\n\r\n")
    return client.answer()


def form(**fields: bytes) -> bytes:
    """A form with a file and the fields (multipart/form-data, RFC 7578)."""
    parts = [
        b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % (name.encode(), value)
        for name, value in fields.items()
    ]
    parts.append(
        (
            b'Content-Disposition: form-data; name="file"; filename="x.bin"\r\nContent-Type: '
            b"application/octet-stream\r\n\r\n"
        )
        + UPLOAD
    )
    return b"".join(b"--edge\r\n%s\r\n" % part for part in parts) + b"--edge--\r\n"


def test_pages_again_and_again(client: Client) -> None:
    for number in range(20):
        assert ask(client, f"/hello?name={number}").body == b"hello %d" % number
    assert ask(client, "/hello", "HEAD").status == 200
    assert ask(client, "/missing").status == 404


def test_a_stream(client: Client) -> None:
    for _ in range(2):
        assert ask(client, "/stream").body == b"".join(b"piece %d\n" % number for number in range(5))


def test_a_file(client: Client) -> None:
    answer = ask(client, "/file")
    assert (answer.body, answer.headers["content-length"]) == (BINARY, str(len(BINARY)))
    assert ask(client, "/file", "HEAD").headers["content-length"] == str(len(BINARY))


def test_a_part_of_a_file(client: Client, framework: str) -> None:
    for _ in range(2):
        answer = ask(client, "/file", more="Range: bytes=10-19\r\n")
        if framework == "django":  # its FileResponse knows no ranges
            assert (answer.status, answer.body) == (200, BINARY)
        else:
            assert (answer.status, answer.body, answer.headers["content-range"]) == (
                206,
                BINARY[10:20],
                f"bytes 10-19/{len(BINARY)}",
            )


def test_an_upload(client: Client) -> None:
    for _ in range(2):
        answer = ask(client, "/body", "POST", UPLOAD, "Content-Type: application/octet-stream\r\n")
        assert answer.body == hashlib.sha256(UPLOAD).hexdigest().encode()


def test_an_upload_in_chunks(client: Client, framework: str) -> None:
    knows = framework in ("flask", "pyramid")  # of `wsgi.input_terminated`
    sent = UPLOAD if knows else BINARY[:10_000]  # which is little enough to be dropped behind the answer
    answer = in_chunks(client, "/body", "application/octet-stream", sent)
    if knows:
        assert (answer.status, answer.body) == (200, hashlib.sha256(sent).hexdigest().encode())
    else:  # Django reads as far as Content-Length says, Bottle decodes a second time
        found = (hashlib.sha256(data).hexdigest().encode() for data in (sent, b""))
        assert answer.status in (400, 411) or answer.body in found
    assert answer.kept and ask(client, "/hello").status == 200


def test_an_upload_in_chunks_that_is_decoded_first(buffering: Generation, framework: str) -> None:
    client = Client(buffering.listeners[0][1].getsockname())
    for sent in (b"", BINARY[:10_000], UPLOAD):
        answer = in_chunks(client, "/body", "application/octet-stream", sent)
        assert (answer.status, answer.body) == (200, hashlib.sha256(sent).hexdigest().encode())
    if framework != "django":  # which wants its token first
        answer = in_chunks(client, "/form", "multipart/form-data; boundary=edge", form(b=b"2"))
        assert answer.body.decode() == repr(([("b", "2")], [("file", hashlib.sha256(UPLOAD).hexdigest())]))
    assert answer.kept and ask(client, "/hello").status == 200


def test_a_form_with_a_file(client: Client) -> None:
    page = ask(client, "/form")
    more = "Content-Type: multipart/form-data; boundary=edge\r\n"
    token = re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', page.body)
    if token:  # Django lets no form in without
        assert ask(client, "/form", "POST", form(a=b"1"), more).status == 403
        client = Client(client.address)
        cookie = page.headers["set-cookie"].split(";")[0]
        more += f"Cookie: {cookie}\r\nX-CSRFToken: {token[1].decode()}\r\n"
    answer = ask(client, "/form", "POST", form(a="ä".encode(), b=b"2"), more)
    assert answer.body.decode() == repr(([("a", "ä"), ("b", "2")], [("file", hashlib.sha256(UPLOAD).hexdigest())]))


def test_cookies(client: Client) -> None:
    first = ask(client, "/cookie")
    assert first.body == b"no"
    cookie = first.headers["set-cookie"].split(";")[0]
    assert ask(client, "/cookie", more=f"Cookie: other=1; {cookie}\r\n").body == b"yes"


def test_a_redirect(client: Client) -> None:
    answer = ask(client, "/away")
    assert answer.status in (302, 303) and answer.headers["location"].endswith("/hello")
    assert ask(client, "/hello").status == 200


def test_a_broken_view_is_a_500_and_no_more(generation: Generation, client: Client) -> None:
    assert ask(client, "/broken").status == 500
    assert "broken view" in generation.log
    assert ask(Client(client.address), "/hello").status == 200
