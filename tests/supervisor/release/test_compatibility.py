"""Whether this supervisor can work with what a release says of itself."""

from __future__ import annotations

import pytest

from releve.config.settings.settings import Mount, Settings
from releve.server.shared.link import LINK_VERSION, Message
from releve.supervisor.release.compatibility import can, knows, objection

MOUNTED = Settings(mounts=(Mount("/", "shop:app"), Mount("/admin", "admin:app")))


@pytest.mark.parametrize(
    ("hello", "settings", "reason"),
    [
        ({"link": LINK_VERSION}, Settings(), ""),
        ({"link": LINK_VERSION, "settings": ["mounts"]}, MOUNTED, ""),
        ({"link": LINK_VERSION, "settings": ["workers"]}, MOUNTED, "does not know mounts"),
        ({"link": LINK_VERSION}, MOUNTED, "does not know mounts"),  # one that says nothing of its settings
        ({"link": LINK_VERSION + 1}, Settings(), f"speaks link version {LINK_VERSION + 1}, this supervisor speaks"),
        ({}, Settings(), "speaks link version None"),
    ],
)
def test_a_release_that_we_cannot_work_with_is_refused_with_what_to_install(
    hello: Message, settings: Settings, reason: str
) -> None:
    said = objection({"releve": "0.9", **hello}, settings)
    assert reason in said
    assert not said or ("releve 0.9" in said and "install the supervisor's releve" in said)
    assert bool(said) is bool(reason)


def test_what_it_does_not_name_it_neither_knows_nor_can_do() -> None:
    assert knows({"settings": ["workers"]}, "workers") and not knows({"settings": ["workers"]}, "threads")
    assert can({"features": ["canary"]}, "canary") and not can({"features": ["canary"]}, "reopen")
    assert not knows({}, "workers") and not can({}, "canary")
