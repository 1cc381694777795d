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
            "Longest chunked body that Relève decodes first, so that the application gets a Content-Length "
            "(longer: 413). off: pass it on as it arrives."
        ),
        off="off",
        minimum=1,
    )
