"""The settings of the block ``log``: what is written where, and how a line looks."""

from __future__ import annotations

from releve.config.frozen import dataclass
from releve.config.settings.key import key


@dataclass(frozen=True, slots=True)
class Log:
    """``log``: what Relève itself writes, what the application writes to standard output and error, and the
    access log.
    """

    level: str = key(
        "info",
        "choice",
        "Least severe message of Relève itself written.",
        choices=("debug", "info", "warning", "error"),
    )
    file: str = key(
        "-",
        "log",
        "Where the log and the application's standard output and error go: a file, or - to leave them where they are.",
    )
    format: str = key(
        "auto",
        "choice",
        (
            "text; json, an object a line; or auto: entries with fields where standard error is systemd's "
            "journal, else text."
        ),
        choices=("auto", "text", "json"),
    )
    output: str = key(
        "tagged",
        "choice",
        (
            "What Python code writes to standard output and error: tagged, each line in format with "
            "generation and worker; or plain, as it is."
        ),
        choices=("tagged", "plain"),
    )
    access: str | None = key("-", "log", "Where the access log goes: a file, or - for standard output.", off="off")
    access_format: str = key(
        "combined",
        "access_format",
        "A line of the access log: common, combined, json, or a format with atoms such as %(h)s.",
    )
