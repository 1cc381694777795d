"""An application whose modules bear the names of Relève's folders, and which gets its own."""

import config
import ctl
import server
import supervisor


def app(environ, start_response):
    lines = [f"{module.__name__} belongs to {module.OWNER}\n" for module in (config, ctl, server, supervisor)]
    body = "".join(lines).encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
