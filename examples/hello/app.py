"""The smallest application: says which release it is, and who answers."""

import os

RELEASE = "one"


def app(environ, start_response):
    generation = os.environ.get("RELEVE_GENERATION", "none")
    body = f"Hello from release {RELEASE}! Generation {generation}, process {os.getpid()}.\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
