"""journalctl(1): the command that shows what a service has written to systemd's journal."""

from __future__ import annotations

from releve.ctl.logs.selection import Selection

OURS, ACCESS = "releve", "releve-access"  # SYSLOG_IDENTIFIER of messages and output, and of the access log
SYSTEMD = ("systemd", "systemd-coredump")  # of what systemd says of a unit
# From the most severe of syslog(3) to the least that is asked for; what the application wrote is told by its stream.
PRIORITIES = {"debug": "debug", "info": "info", "warning": "warning", "error": "err"}


def command(unit: str | None, of_user: bool, wanted: Selection, *, follow: bool, as_json: bool) -> list[str]:
    """The command line. ``unit`` None: by what Relève calls itself there."""
    argv = ["journalctl", *(["--user"] if of_user else [])]
    argv += ["-u", unit] if unit else []
    for identifier in (ACCESS,) if wanted.access else (OURS, *(SYSTEMD if unit else ())):
        argv += ["-t", identifier]
    if wanted.lines is not None:
        argv += ["-n", str(wanted.lines)]
    if wanted.since is not None:
        argv += ["--since", f"@{int(wanted.since.timestamp())}"]
    if wanted.level is not None:
        argv += ["-p", PRIORITIES[wanted.level]]
    if follow:
        argv.append("-f")
    if as_json:
        argv += ["-o", "json"]
    if wanted.generation is not None:
        argv.append(f"GENERATION={wanted.generation}")
    if wanted.worker is not None:
        argv.append(f"WORKER={wanted.worker}")
    return argv
