"""Compatibility: what a release says of itself in ``hello``, and whether this supervisor can work with it. Pure."""

from __future__ import annotations

from releve.config.settings.settings import Settings
from releve.server.shared.link import LINK_VERSION, Message

_REMEDY = "install the supervisor's releve in the release, or none"


def objection(hello: Message, settings: Settings) -> str:
    """Why a generation that says this cannot be booted with these settings; empty if it can."""
    if hello.get("link") != LINK_VERSION:
        return (
            f"cannot boot: releve {hello.get('releve')} of the release speaks link version {hello.get('link')}, "
            f"this supervisor speaks {LINK_VERSION}; {_REMEDY}"
        )
    if settings.mounts and not knows(hello, "mounts"):
        return f"cannot boot: releve {hello.get('releve')} of the release does not know mounts; {_REMEDY}"
    return ""


def knows(hello: Message, key: str) -> bool:
    """Whether the release has a setting (dotted key)."""
    return key in hello.get("settings", [])


def can(hello: Message, feature: str) -> bool:
    """Whether the release can do something beyond the first version of the link."""
    return feature in hello.get("features", [])
