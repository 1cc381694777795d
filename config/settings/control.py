"""The settings of the block ``control``, and the verbs that it may name."""

from __future__ import annotations

from releve.config.frozen import dataclass
from releve.config.settings.key import key

# The verbs of ctl (supervisor/verbs/verbs.py; a test compares).
CONTROL_VERBS = (
    *("status", "upgrade", "reload", "rollback", "stop", "scale", "abort", "reexec", "history"),
    *("check", "reopen", "workers", "dump", "drain", "undrain", "doctor", "logs", "config", "restart"),
)


@dataclass(frozen=True, slots=True)
class Control:
    """``control``: what members of ``control_group`` may do, who are neither root nor the supervisor's user."""

    may: tuple[str, ...] | None = key(
        None,
        "verbs",
        "Verbs of ctl that members of control_group may use, or all.",
        off="all",
        restart=True,
        supervisor=True,
    )
    directories: tuple[str, ...] | None = key(
        None,
        "folders",
        (
            "Folders that must contain each release, and each interpreter, that members of control_group "
            "upgrade to; or anywhere."
        ),
        off="anywhere",
        restart=True,
        supervisor=True,
    )
