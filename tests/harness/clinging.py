"""An application whose thread never ends, which is no daemon: what it has at the end of its worker is a bound."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    threading.Thread(target=threading.Event().wait, name="clings").start()
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
