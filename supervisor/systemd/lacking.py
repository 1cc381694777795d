"""What a unit keeps a service from that its settings need: ``doctor`` says so before the start fails. Pure.

Properties are as ``systemctl show`` writes them: system calls one by one, paths with their prefix.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping

from releve.supervisor.systemd.needs import HOMES, SYSTEM, TEMPORARY, Needs, inside

PROPERTIES = (
    *("User", "SupplementaryGroups", "SystemCallFilter", "AmbientCapabilities", "NoNewPrivileges"),
    *(
        "ProtectSystem",
        "ProtectHome",
        "PrivateTmp",
        "ReadWritePaths",
        "RuntimeDirectory",
        "RuntimeDirectoryMode",
        "StateDirectory",
        "LogsDirectory",
        "CacheDirectory",
    ),
)
_CALLS = {"chown": "fchown", "capset": "capset"}  # one that stands for its group
_READ_ONLY = {"yes": SYSTEM[:3], "full": SYSTEM}  # ProtectSystem=, beside strict
_APART = ("dev", "proc", "sys", *TEMPORARY)  # which it leaves alone, or other directives decide on
_MADE = {
    "RuntimeDirectory": "/run",
    "StateDirectory": "/var/lib",
    "LogsDirectory": "/var/log",
    "CacheDirectory": "/var/cache",
}


def lacking(
    needed: Needs, told: Mapping[str, str], strange: Collection[str] = (), absent: Collection[str] = ()
) -> Iterator[str]:
    """Each in words; what systemd does not say is not judged.

    ``strange``: the groups that the user is no member of; ``absent``: the folders that are not there.
    """
    starts_as = told.get("User", "")
    as_root = starts_as in ("", "root", "0")
    if needed.root and not as_root:
        yield f"User={starts_as}: releve must start as root, {needed.root}"
    if needed.rights and told.get("NoNewPrivileges") == "yes":
        yield "NoNewPrivileges=yes: programs of the application cannot gain rights (no_new_privileges)"
    if not as_root:
        yield from _privileges(needed, told, strange)
    yield from _folders(needed, told, absent)
    mode = told.get("RuntimeDirectoryMode", "")
    if "control_group" in (needed.calls or {}).values() and mode and not mode.endswith(("1", "5", "7")):
        yield f"RuntimeDirectoryMode={mode}: a reload by systemd locks out the members of control_group"


def _privileges(needed: Needs, told: Mapping[str, str], strange: Collection[str]) -> Iterator[str]:
    filtered = told.get("SystemCallFilter", "")
    denies, calls = filtered.startswith("~"), set(filtered.removeprefix("~").split())
    for call, setting in (needed.calls or {}).items():
        if filtered and (_CALLS[call] in calls) is denies:
            yield f"SystemCallFilter= forbids {call}, for {setting}"
    for capability in needed.capabilities:
        if "AmbientCapabilities" in told and capability.lower() not in told["AmbientCapabilities"].lower().split():
            yield f"AmbientCapabilities= lacks {capability}, for a port below 1024"
    if "SupplementaryGroups" in told:
        members = _words(told["SupplementaryGroups"])
        yield from (
            f"SupplementaryGroups= lacks {group}"
            for group in needed.groups
            if group in strange and group not in members
        )


def _folders(needed: Needs, told: Mapping[str, str], absent: Collection[str]) -> Iterator[str]:
    system, homes = told.get("ProtectSystem", "no"), told.get("ProtectHome", "no")
    made = [f"{base}/{name.partition(':')[0]}" for kind, base in _MADE.items() for name in _words(told.get(kind, ""))]
    writable = [path.lstrip("-+") for path in _words(told.get("ReadWritePaths", ""))] + made
    for path in needed.writable:
        in_home = homes == "read-only" and inside(path, HOMES)
        read_only = (system == "strict" or inside(path, _READ_ONLY.get(system, ())) or in_home) and not inside(
            path, _APART
        )
        if read_only and not any(_within(path, one) for one in writable):
            yield f"ReadWritePaths= lacks {path}"
        elif read_only and path in absent and not any(_within(path, one) for one in made):
            yield f"{path} does not exist, and the unit does not make it"
    if homes in ("yes", "tmpfs") and needed.hidden(HOMES):
        yield f"ProtectHome={homes} hides {needed.hidden(HOMES)[0]}"
    if told.get("PrivateTmp") == "yes" and needed.hidden(TEMPORARY):
        yield f"PrivateTmp=yes hides {needed.hidden(TEMPORARY)[0]}"


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote in a path
        return text.split()
