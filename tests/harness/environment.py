"""What of the environment of the tests is there for what they start."""

from __future__ import annotations

import os

OWN = (
    "RELEVE_",
    "PORT",
    "WEB_CONCURRENCY",
    "NOTIFY_SOCKET",
    "LISTEN_",
    "PYTHON",
    "COVERAGE",
)  # never inherited from whoever runs the tests


def clean_environment(**more: str) -> dict[str, str]:
    """The environment of whoever runs the tests, without what would steer Relève."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(OWN) or k.startswith("COVERAGE")}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}
