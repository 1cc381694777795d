"""Settings over the link: both sides may be different releases."""

import json
from typing import Any

import pytest

from releve.config.settings.address import Address
from releve.config.settings.control import Control
from releve.config.settings.hooks import Command, Hooks
from releve.config.settings.limits import Limits
from releve.config.settings.proxy import Proxy
from releve.config.settings.settings import Mount, Settings
from releve.config.settings.upgrade import Canary, Check, Upgrade
from releve.config.settings.wire import from_wire, to_wire

FULL = Settings(
    app="a:b",
    listen=(Address("unix", path="/x", mode=0o600), Address("tcp", "::1", 80)),
    preload_modules=("a", "b"),
    env={"A": "b"},
    limits=Limits(body=3),
    upgrade=Upgrade(check=Check(headers={"A": "b"}), canary=Canary(0.3, 5.0), standby=None),
    proxy=Proxy(trusted=("10.0.0.0/8",)),
    control=Control(may=("status",), directories=None),
    include=("conf.d/*.yaml",),
    hooks=Hooks(before=Command(("a", "b"), 3.0), on_failure=Command("a b"), on_pause="a:b"),
)


def test_settings_survive_the_link() -> None:
    for settings in (FULL, Settings(app="a:b")):
        assert from_wire(json.loads(json.dumps(to_wire(settings)))) == settings


def test_unknown_keys_are_ignored_and_missing_ones_have_their_defaults() -> None:
    wire = {"app": "a:b", "news": 1, "limits": {"head": 5, "news": 1}, "upgrade": {"check": {"path": "/x", "news": 1}}}
    assert from_wire(wire) == Settings(app="a:b", limits=Limits(head=5), upgrade=Upgrade(check=Check(path="/x")))


@pytest.mark.parametrize(
    "settings", [FULL, Settings(mounts=(Mount("", "a:b", "x.yaml:1:2"), Mount("/c", "d:e", "x.yaml:2:2")))]
)
def test_it_is_json_and_comes_back_with_its_types(settings: Settings) -> None:
    back = from_wire(json.loads(json.dumps(to_wire(settings))))
    assert back == settings and hash(back.proxy) == hash(settings.proxy)
    assert [mount.place for mount in back.mounts] == [mount.place for mount in settings.mounts]


@pytest.mark.parametrize(
    "wire", [{"listen": None}, {"listen": ["x"]}, {"mounts": [["/a"]]}, {"include": None}, {"proxy": {"trusted": None}}]
)
def test_what_cannot_be_settings_raises(wire: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        from_wire(wire)
