"""A scripted supervisor, a process of its own: answers each conversation with the same steps.

Run by path: ``fake_supervisor.py SOCKET``; the first line of standard input has the steps (JSON). A step is ``{"send":
event}``, ``{"raw": text}``, ``{"hang": true}`` (until the client goes), ``{"await": name}`` (a line ``name`` on
standard input) or ``{"exit": true}``. Standard output has one JSON value a line: ``"listening"``, each request,
``"gone"`` when a client went while it hung.
"""

from __future__ import annotations

import json
import os
import socket
import sys


def tell(value: object) -> None:
    print(json.dumps(value), flush=True)


def converse(connection: socket.socket, steps: list[dict[str, object]]) -> None:
    with connection, connection.makefile("rb") as requests:
        line = requests.readline()
        if not line:
            return  # only looked whether somebody accepts
        tell(json.loads(line))
        for step in steps:
            if "send" in step:
                connection.sendall(json.dumps(step["send"]).encode() + b"\n")
            elif "raw" in step:
                connection.sendall(str(step["raw"]).encode("latin-1"))
            elif "await" in step:
                while sys.stdin.readline().strip() != step["await"]:
                    pass
            elif "hang" in step:
                requests.read()
                tell("gone")
            elif "exit" in step:
                os._exit(0)


def main() -> None:
    path, steps = sys.argv[1], json.loads(sys.stdin.readline())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        tell("listening")
        while True:
            connection, _ = listener.accept()
            try:
                converse(connection, steps)
            except (BrokenPipeError, ConnectionResetError):
                tell("gone")


if __name__ == "__main__":
    main()
