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
        "Lowest level of the messages of Relève that are logged.",
        choices=("debug", "info", "warning", "error"),
    )
    file: str = key(
        "-",
        "log",
        "Where the log and the output of the application go: a file, or - for the standard streams of releve.",
    )
    format: str = key(
        "auto",
        "choice",
        (
            "text; json: one object per line; auto: entries with fields if standard error is the journal of "
            "systemd, else text."
        ),
        choices=("auto", "text", "json"),
    )
    output: str = key(
        "tagged",
        "choice",
        (
            "Lines that Python code writes to standard output and error. tagged: in format, with generation "
            "and worker; plain: unchanged."
        ),
        choices=("tagged", "plain"),
    )
    access: str | None = key("-", "log", "Where the access log goes: a file, or - for standard output.", off="off")
    access_format: str = key(
        "combined",
        "access_format",
        "Format of the access log: common, combined, json, or a format with atoms such as %(h)s.",
    )
