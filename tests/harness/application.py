"""The application that the releases of the tests serve: echoes, and says who answers.

Copied into each release as ``app.py``, with a file ``release.py`` that holds its name.
``late.py`` is imported by the first request for ``/late``, as Django does with views.
"""

import json
import os
import sys
import time
import urllib.parse

from release import RELEASE

CWD = os.getcwd()  # the folder itself may be removed under us
HERE = os.path.dirname(os.path.abspath(__file__))


def application(environ, start_response):
    path = environ["PATH_INFO"]
    query = dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", "")))
    headers = [
        ("X-Generation", os.environ.get("RELEVE_GENERATION", "")),
        ("X-Release", RELEASE),
        ("X-Pid", str(os.getpid())),
        ("X-Nonce", environ.get("HTTP_X_NONCE", "")),
    ]
    respond = RESPONSES.get(path)
    if respond is None:
        start_response("404 Not Found", [*headers, ("Content-Length", "0")])
        return [b""]
    return respond(environ, query, start_response, headers)


def whole(start_response, headers, body, status="200 OK", kind="text/plain"):
    start_response(status, [*headers, ("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def echo(environ, query, start_response, headers):
    return whole(start_response, headers, environ["wsgi.input"].read())


def release(environ, query, start_response, headers):
    said = {
        "release": RELEASE,
        "generation": os.environ.get("RELEVE_GENERATION"),
        "pid": os.getpid(),
        "parent": os.getppid(),
        "python": list(sys.version_info[:3]),
        "prefix": sys.prefix,
        "executable": sys.executable,
        "folder": HERE,
        "cwd": CWD,
        "pwd": os.environ.get("PWD"),
        "environment": dict(os.environ),
    }
    return whole(start_response, headers, json.dumps(said).encode(), kind="application/json")


def late(environ, query, start_response, headers):
    import late as module

    return whole(start_response, headers, module.TEXT.encode())


def slow(environ, query, start_response, headers):
    time.sleep(float(query.get("s", "1")))
    return whole(start_response, headers, b"slow")


def held(environ, query, start_response, headers):
    """Waits while a file is there, and so many seconds more."""
    while os.path.exists(query["while"]):
        time.sleep(0.02)
    time.sleep(float(query.get("s", "0")))
    return whole(start_response, headers, b"held")


def stream(environ, query, start_response, headers):
    """So many chunks, so many seconds apart."""
    start_response("200 OK", [*headers, ("Content-Type", "text/plain")])
    for number in range(int(query.get("n", "10"))):
        yield b"%d\n" % number
        time.sleep(float(query.get("s", "0.1")))


def leave(environ, query, start_response, headers):
    sys.exit(int(query.get("status", "3")))


def die(environ, query, start_response, headers):
    os._exit(9)


def imported(environ, query, start_response, headers):
    """Where a module comes from."""
    module = __import__(query["name"])
    return whole(start_response, headers, str(getattr(module, "__file__", "built in")).encode())


RESPONSES = {
    "/": release,
    "/echo": echo,
    "/release": release,
    "/late": late,
    "/slow": slow,
    "/held": held,
    "/stream": stream,
    "/leave": leave,
    "/die": die,
    "/imported": imported,
    "/healthz": echo,
}
