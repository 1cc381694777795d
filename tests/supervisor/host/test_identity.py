"""Names of users and groups become numbers, or one clear refusal."""

import os
import pwd

import pytest

from releve.supervisor.host.identity import Identity, IdentityError, identify


def test_nothing_is_asked_for() -> None:
    assert identify(None, None, 0o27, root=False) == Identity(umask=0o27)


@pytest.mark.parametrize("user", ["nobody", str(pwd.getpwnam("nobody").pw_uid)])
def test_a_user_brings_its_groups(user: str) -> None:
    nobody = pwd.getpwnam("nobody")
    found = identify(user, None, None, root=True)
    assert (found.user, found.group) == (nobody.pw_uid, nobody.pw_gid)
    assert found.groups == tuple(os.getgrouplist("nobody", nobody.pw_gid))


def test_a_group_of_its_own() -> None:
    found = identify("nobody", "daemon", None, root=True)
    assert found.group == 1 and found.groups is not None and 1 in found.groups
    assert identify(None, "1", None, root=True) == Identity(group=1)


def test_naming_oneself_needs_no_root() -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert identify(me, str(os.getegid()), None, root=False) == Identity()


@pytest.mark.parametrize(
    ("user", "group", "root", "message"),
    [
        ("no-such", None, True, "cannot run as no-such: there is no such user; create it, or change user"),
        ("nobody", "no-such", True, "cannot run as group no-such: there is no such group; create it, or change group"),
        (
            "nobody",
            None,
            False,
            "cannot run as nobody: the supervisor was not started as root; start it as root, or drop user and group",
        ),
    ],
)
def test_refusals(user: str, group: str | None, root: bool, message: str) -> None:
    with pytest.raises(IdentityError) as refused:
        identify(user, group, None, root=root)
    assert str(refused.value) == message
