"""What changed, and what a reload makes of it."""

from dataclasses import replace

from releve.config.settings.address import Address
from releve.config.settings.diff import apply_reload, apply_upgrade, changed, needs_restart, needs_upgrade
from releve.config.settings.log import Log
from releve.config.settings.settings import Settings, rules
from releve.config.settings.timeouts import Timeouts
from releve.config.settings.upgrade import Check, Upgrade

OLD = Settings(app="a:b", directory="/srv/v1")
NEW = replace(
    OLD,
    app="a:c",
    directory="/srv/v2",
    listen=(Address("unix", path="/x"),),
    workers=5,
    env={"A": "b"},
    state_directory="/var/lib/x",
    timeouts=Timeouts(boot=1.0),
    upgrade=Upgrade(check=Check(path="/up")),
    log=Log(level="debug"),
)


def test_nothing_changed() -> None:
    assert changed(OLD, replace(OLD)) == []
    assert apply_reload(OLD, OLD) == OLD


def test_changed_keys_are_dotted_and_in_order() -> None:
    assert changed(OLD, NEW) == [
        "app", "directory", "listen", "workers", "env", "state_directory", "timeouts.boot", "upgrade.check",
        "log.level",
    ]  # fmt: skip


def test_a_reload_leaves_what_needs_more() -> None:
    keys = changed(OLD, NEW)
    assert needs_upgrade(keys) == ["app", "directory", "env"]
    assert needs_restart(keys) == ["state_directory"]
    applied = apply_reload(OLD, NEW)
    assert applied == replace(NEW, app="a:b", directory="/srv/v1", env={}, state_directory=None)
    assert set(changed(OLD, applied)) == set(keys) - {"app", "directory", "env", "state_directory"}


def test_an_upgrade_leaves_only_what_needs_a_restart() -> None:
    assert apply_upgrade(OLD, NEW) == replace(NEW, state_directory=None)


def test_the_mode_of_a_socket_is_a_change() -> None:
    one, other = (replace(OLD, listen=(Address("unix", path="/x", mode=mode),)) for mode in (0o600, 0o660))
    assert changed(one, other) == ["listen"]


def test_what_a_reload_applies_is_what_the_design_says() -> None:
    more = {*needs_upgrade(rules()), *needs_restart(rules())}
    applied = {key.partition(".")[0] for key in rules() if key not in more}
    assert applied == {
        "listen", "workers", "threads", "limits", "request", "timeouts", "upgrade", "proxy", "log", "watch", "include",
        "readiness",
        "spool_directory",
    }  # fmt: skip
