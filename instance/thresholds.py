"""From which use on people are told of it: by doctor, by status, in colour."""

from __future__ import annotations

NEAR = 0.9  # of a limit
HOT_PERCENT = 90.0  # of one processor, which is all that a worker can use for long
