"""Why no configuration can be written."""

from __future__ import annotations


class ImportFailure(Exception):
    """The configuration cannot be read, or means nothing that could be served."""
