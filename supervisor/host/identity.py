"""Whom masters and workers run as: the settings' names, resolved to numbers once for each generation."""

from __future__ import annotations

import grp
import os
import pwd

from releve.config.frozen import dataclass
from releve.instance.instances import InstanceError


class IdentityError(Exception):
    """Masters and workers cannot run as the settings say."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Numbers for the C-level spawn; ``None`` leaves what the supervisor has."""

    user: int | None = None
    group: int | None = None
    groups: tuple[int, ...] | None = None  # supplementary ones
    umask: int | None = None
    account: pwd.struct_passwd | None = None

    @property
    def uid(self) -> int:
        """The user, also where it is the supervisor's own."""
        return os.geteuid() if self.user is None else self.user

    @property
    def gid(self) -> int:
        """The group, also where it is the supervisor's own."""
        return os.getegid() if self.group is None else self.group


AS_WE_ARE = Identity()


def identify(user: str | None, group: str | None, umask: int | None, *, root: bool | None = None) -> Identity:
    """Resolve the names (or numbers) of ``user`` and ``group``. Raises IdentityError with what to change.

    ``root``: whether the supervisor may change identity; default: whether it runs as root.
    """
    if user is None and group is None:
        return Identity(umask=umask)
    account = None if user is None else _account(user)
    number = _group(group) if group is not None else None if account is None else account.pw_gid
    if not (os.geteuid() == 0 if root is None else root):
        if (account is None or account.pw_uid == os.geteuid()) and number == os.getegid():
            return Identity(umask=umask)  # we are that already
        advice = "start it as root, or drop user and group"
        raise IdentityError(f"cannot run as {user or group}: the supervisor was not started as root; {advice}")
    groups = None if account is None or number is None else tuple(os.getgrouplist(account.pw_name, number))
    return Identity(None if account is None else account.pw_uid, number, groups, umask, account)


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        raise IdentityError(f"cannot run as {user}: there is no such user; create it, or change user") from None


def _group(group: str) -> int:
    try:
        return group_number(group)
    except KeyError:
        raise IdentityError(
            f"cannot run as group {group}: there is no such group; create it, or change group"
        ) from None


def user_number(user: str) -> int:
    """The number of a user that is given by its name, or by that number. Raises KeyError."""
    return int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid


def group_number(group: str) -> int:
    """The number of a group that is given by its name, or by that number. Raises KeyError."""
    return int(group) if group.isdigit() else grp.getgrnam(group).gr_gid


def lent_group(control_group: str) -> int:
    """The number of a group whose members this process can let use its control socket. Raises InstanceError."""
    number = group_id(control_group)
    assert number is not None
    if os.geteuid() != 0 and number not in (os.getegid(), *os.getgroups()):
        raise InstanceError(
            f"cannot let the group {control_group} use ctl: this user is not a member; add it to the group (systemd: "
            "SupplementaryGroups=, which `releve systemd-unit` writes), or change control_group"
        )
    return number


def group_id(control_group: str | None) -> int | None:
    """The number of a group, by its name or number; None for none. Raises InstanceError if there is no such group."""
    if control_group is None:
        return None
    try:
        return group_number(control_group)
    except KeyError:
        raise InstanceError(
            f"cannot let the group {control_group} use ctl: there is no such group; create it, or change control_group"
        ) from None
