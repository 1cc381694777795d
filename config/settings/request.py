"""The settings of the block ``request``: in what form requests reach the application."""

from __future__ import annotations

from releve.config.frozen import dataclass
from releve.config.settings.key import key


@dataclass(frozen=True, slots=True)
class Request:
    """``request``: how requests reach the application."""

    buffer_chunked: int | None = key(
        None,
        "size",
        (
            "Longest chunked body that is decoded before the application gets it, with a Content-Length "
            "(longer: 413); off: as it comes."
        ),
        off="off",
        minimum=1,
    )
