"""What members of the control group are kept to."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from releve.config.errors import ConfigError
from releve.config.reading.load import load
from releve.config.reading.sources import overrides
from releve.config.settings.control import CONTROL_VERBS, Control
from releve.config.settings.wire import from_wire, to_wire
from releve.supervisor.host.policy import BOUNDS, Bounds, Policy
from releve.supervisor.host.system import Peer
from releve.supervisor.inspection import facts
from releve.supervisor.verbs.permit import Permit

GROUP, APP, DEPLOY = 4242, 4243, 4244


@pytest.fixture
def shop() -> Iterator[Path]:
    """A folder with releases, in one that everybody may enter and nobody but root may change."""
    made = Path(tempfile.mkdtemp(prefix="releve-"))
    made.chmod(0o755)
    (made / "releases" / "1" / "bin").mkdir(parents=True)
    (made / "elsewhere").mkdir()
    (made / "current").symlink_to("releases/1")
    yield made
    shutil.rmtree(made)


def policy(folder: Path | None, *may: str) -> Policy:
    return Policy(Control(may or None, None if folder is None else (str(folder),)), GROUP, APP)


def test_only_the_verbs_that_are_named() -> None:
    known = policy(None, "status", "upgrade")
    assert known.refusal("ann", "upgrade", {"directory": "/anywhere", "python": "/bin/sh"}) is None
    assert known.refusal("ann", "stop", {}) == "permission denied: ann may not use ctl stop; allowed: status, upgrade"
    assert (
        Policy(Control(()), GROUP, APP).refusal("ann", "status", {})
        == "permission denied: ann may not use ctl status; allowed: nothing"
    )
    assert known.picture() == {"verbs": ["status", "upgrade"], "directories": None}
    everything = policy(None)
    assert all(everything.refusal("ann", verb, {}) is None for verb in CONTROL_VERBS)
    assert everything.picture() is None
    assert everything.bound("upgrade", {"wait": True}) == {"wait": True}


def test_only_the_folders_that_are_named(shop: Path) -> None:
    known = policy(shop / "releases")
    denied = "(control.directories)"

    def refused(**arguments: Any) -> bool:
        reason = known.refusal("ann", "upgrade", arguments)
        assert reason is None or (
            reason.startswith("permission denied: ann may not use ctl upgrade: ") and reason.endswith(denied)
        )
        return reason is not None

    one = shop / "releases" / "1"
    (one / "out").symlink_to(shop / "elsewhere")
    (one / "bin" / "python").symlink_to("/usr/bin/python3")
    assert not refused()
    assert not refused(directory=str(one))
    assert not refused(directory=str(shop / "current"))  # which leads there
    assert refused(directory=str(shop / "elsewhere"))
    assert refused(directory=f"{one}/../../elsewhere")
    assert refused(directory=str(one / "out"))
    assert refused(directory=f"{shop}/releases-evil")
    assert not refused(python="auto")
    assert not refused(python=str(one / "bin" / "python"))
    assert refused(python="/usr/bin/python3")
    assert refused(python="bin/python")
    assert refused(python=str(one / "out" / "python"))
    assert known.refusal("ann", "rollback", {}) is None
    bounds = known.bound("upgrade", {"python": str(one / "bin" / "python")})[BOUNDS]
    assert bounds == Bounds((os.path.realpath(shop / "releases"),), True)


def test_what_is_resolved_at_last_counts(shop: Path) -> None:
    """Links can be moved between the question and the start."""
    bounds = Bounds((str(shop / "releases"),), True)
    one = f"{shop}/releases/1"
    assert bounds.refusal(one, f"{one}/bin/python") is None
    assert bounds.refusal(f"{shop}/elsewhere", f"{one}/bin/python") is not None
    assert bounds.refusal(one, "/usr/bin/python3") is not None
    # it is the configuration's
    assert Bounds((str(shop / "releases"),), False).refusal(one, "/usr/bin/python3") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
@pytest.mark.parametrize(
    ("owner", "group", "mode", "trouble"),
    [
        (0, 0, 0o755, None),
        (APP, 0, 0o755, None),
        (0, GROUP, 0o755, None),
        (0, 0, 0o775, None),
        (DEPLOY, 0, 0o755, "belongs to uid 4244"),
        (0, GROUP, 0o775, "its group may write in"),
        (0, APP, 0o775, "its group may write in"),
        (0, 0, 0o777, "every user may write in"),
    ],
)
def test_a_folder_that_a_member_can_exchange_admits_nothing(
    shop: Path, owner: int, group: int, mode: int, trouble: str | None
) -> None:
    os.chown(shop, owner, group)
    shop.chmod(mode)
    os.chown(shop / "releases", DEPLOY, GROUP)  # where a member deploys
    (shop / "releases").chmod(0o2775)
    known = policy(shop / "releases")
    for arguments in ({}, {"directory": str(shop / "releases" / "1")}):
        reason = known.refusal("ann", "upgrade", arguments)
        assert (reason is None) is (trouble is None)
        assert trouble is None or trouble in str(reason)
    assert bool(known.troubles()) is (trouble is not None)
    assert policy(shop / "missing").refusal("ann", "upgrade", {}) is not None


def test_root_and_the_supervisors_user_are_kept_to_nothing() -> None:
    permit = Permit(1000, GROUP)
    control = Control(("status",))
    assert not permit.limits(Peer(1, 0, frozenset({GROUP}))) and not permit.limits(Peer(1, 1000, frozenset({GROUP})))
    assert permit.limits(Peer(1, APP, frozenset({GROUP})))
    assert permit.policy(control, APP) == Policy(control, GROUP, APP)


def test_what_is_written(tmp_path: Path) -> None:
    def read(text: str) -> Control:
        file = tmp_path / "releve.yaml"
        file.write_text(f"app: a:b\n{text}")
        settings = load(file, overrides({}, {})).settings
        assert from_wire(to_wire(settings)) == settings
        return settings.control

    def problem(text: str) -> str:
        with pytest.raises(ConfigError) as caught:
            read(text)
        return str(caught.value)

    group = "control_group: ops\n"
    assert read(group) == Control(None, None)
    assert read(f"{group}control: {{may: [status, upgrade], directories: releases}}") == Control(
        ("status", "upgrade"), (str(tmp_path / "releases"),)
    )
    assert read(f"{group}control: {{may: all, directories: anywhere}}") == Control()
    assert read(f"{group}control: {{may: []}}") == Control(())
    assert "'upgrad' in control.may: no such verb; did you mean 'upgrade'?" in problem(
        f"{group}control: {{may: [status, upgrad]}}"
    )
    assert "cannot use control without control_group" in problem("control: {may: [status]}")
    assert "write all, or a list; an empty one is written []" in problem(f"{group}control: {{may: }}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to a group")
def test_a_configuration_that_members_may_write_is_a_finding(shop: Path) -> None:
    file = shop / "releve.yaml"
    file.write_text(f"app: a:b\ncontrol_group: '{GROUP}'\ncontrol: {{may: [status], directories: {shop}/releases}}")
    settings = load(file, overrides({}, {})).settings
    assert facts.members(settings, file, 0) == ()
    os.chown(file, 0, GROUP)
    file.chmod(0o664)
    assert facts.members(settings, file, 0) == (
        f"members of control_group may write to {file}, and so change what control allows them",
    )
