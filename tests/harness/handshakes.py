"""The application of the tests with WebSocket clients: does with the environ what the libraries do, each under a path of its own."""

from __future__ import annotations

import copy
import pprint
from collections.abc import Iterable
from typing import Any

from flask import Flask, request

ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
site = Flask("handshakes")


def take(environ: dict[str, Any]) -> Any:
    """The socket, as simple-websocket 1.1 looks for it (``ws.py``, ``Server.__init__``)."""
    for name in ("werkzeug.socket", "gunicorn.socket"):
        if name in environ:
            return environ.get(name)
    raise RuntimeError("Cannot obtain socket from WSGI environment.")


@site.route("/flask", websocket=True)
def flask() -> str:
    take(request.environ).send(ACCEPTED)
    return "accepted"


@site.route("/wrapped", websocket=True)
def wrapped() -> str:
    try:
        take(request.environ).send(ACCEPTED)
    except BaseException as error:
        raise ValueError("cannot talk") from error
    return "accepted"


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    match environ["PATH_INFO"]:
        case "/raw":
            take(environ).send(ACCEPTED)
        case "/none":  # the drivers of engineio for eventlet and gevent
            raise RuntimeError("You need to use the eventlet server.")
        case "/plain":
            start_response("200 OK", [])
            return [b"plain"]
        case "/shown":
            body = pprint.pformat(environ) + repr(copy.deepcopy(take(environ))) + str(hasattr(take(environ), "as_view"))
            start_response("200 OK", [])
            return [body.encode()]
        case "/names":
            start_response("200 OK", [])
            return [",".join(name for name in ("werkzeug.socket", "gunicorn.socket") if name in environ).encode()]
        case _:
            return site(environ, start_response)
    return []
