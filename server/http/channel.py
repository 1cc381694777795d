"""What the request side needs of a connection: blocking reads and writes with timeouts, and nothing else.

``server/loop/socket_channel.py`` has the real one; body and call know this protocol only.
"""

from __future__ import annotations

from typing import Protocol


class Channel(Protocol):
    """One client connection as the thread that owns it for one request sees it.

    Every method blocks the calling thread. ``ClientGone`` and ``ClientTooSlow`` are those of ``server/http/body.py``.
    """

    def read(self, limit: int, timeout_s: float) -> bytes:
        """What has arrived, at least one byte and at most ``limit``; ``b""`` at the end of the stream.

        Raises TimeoutError if nothing arrives in ``timeout_s``, ConnectionError if the client reset the connection.
        """
        ...

    def write(self, data: bytes | memoryview) -> None:
        """Send all of ``data``.

        Raises ClientGone if the client has closed, ClientTooSlow if it takes no byte for ``timeouts.write``.
        """
        ...

    def finish_file(self, file: int, offset: int, count: int) -> int:
        """Send the end of a response: up to ``count`` bytes of the regular file behind the descriptor ``file``, from
        ``offset`` on.

        Returns how many that are: fewer than ``count`` only where the file ends. Does not block: whoever owns the
        connection afterwards sends what the client did not take, even if the descriptor is closed. Raises ClientGone;
        any other OSError (EINVAL: the file system has no sendfile) means that not one byte was sent.
        """
        ...

    def finish(self, data: bytes | memoryview, before: bytes = b"") -> None:
        """Send the last bytes of a response, ``before`` in front of them, without blocking: whoever owns the connection
        afterwards sends what the client did not take.

        Raises ClientGone.
        """
        ...
