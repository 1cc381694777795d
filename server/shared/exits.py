"""Exit statuses of masters and workers, which the supervisor reads too (``docs/protocol.md``)."""

from __future__ import annotations

EXIT_BOOT = 3  # after `failed` was sent
EXIT_INTERNAL = 70  # EX_SOFTWARE of sysexits.h: an error of ours
