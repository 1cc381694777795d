"""A page, and what a readiness probe asks for."""

import os
import socket

TEXT = "ok"


def app(environ, start_response):
    hello = f"Hello from {socket.gethostname()}, process {os.getpid()}.\n"
    body = (TEXT if environ["PATH_INFO"] == "/healthz" else hello).encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
