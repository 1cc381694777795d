"""Who may use the control socket: root, the user that the supervisor runs as, and the members of ``control_group``."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from releve.config.frozen import dataclass
from releve.config.settings.control import Control
from releve.instance.directories import Access, blocked
from releve.instance.instances import InstanceError
from releve.supervisor.host.identity import lent_group
from releve.supervisor.host.policy import Policy
from releve.supervisor.host.system import Peer
from releve.supervisor.reporting.log import log
from releve.supervisor.service.lock import OPEN_TO_PASS


@dataclass(frozen=True, slots=True)
class Permit:
    """``group`` is the number of the control group, None if there is none."""

    uid: int
    group: int | None = None

    @property
    def folder(self) -> Access:
        """What others may do in the runtime directory: pass, to be refused at the control socket.

        It keeps its group: at each reload systemd gives RuntimeDirectory= back to the user's, and if it had another,
        all that is in it.
        """
        return OPEN_TO_PASS if self.group is None else Access(OPEN_TO_PASS.mode, self.group)

    @property
    def socket_mode(self) -> int:
        """Of the control socket."""
        return 0o600 if self.group is None else 0o660

    def admits(self, peer: Peer) -> bool:
        """Whether this one may give orders."""
        return peer.uid in (0, self.uid) or (self.group is not None and self.group in peer.groups)

    def limits(self, peer: Peer) -> bool:
        """Whether somebody who is admitted is so as a member of the group only, and kept to ``control``."""
        return peer.uid not in (0, self.uid)

    def policy(self, control: Control, uid: int) -> Policy:
        """What members of the group are kept to. ``uid``: as of ``Policy``."""
        assert self.group is not None, "else there are none"
        return Policy(control, self.group, uid)

    def warn(self, runtime: Path) -> None:
        """Say so where the members of the group cannot come as far as the runtime directory."""
        if self.group is not None:
            with suppress(OSError):
                folder = blocked(runtime, self.group)
                if folder is not None:
                    log.warning(
                        ("members of control_group cannot enter %s: chmod o+x it, or choose another runtime_directory"),
                        folder,
                    )


def permit(control_group: str | None, *, revived: bool = False) -> Permit:
    """The permit for this process's service.

    Raises InstanceError for a group that there is not, or that we cannot give anything to; one that was ``revived``
    goes on without it.
    """
    try:
        return _permit(control_group)
    except InstanceError as error:
        if not revived:
            raise
        log.error("%s; until then only root and this user may use ctl", error)
        return Permit(os.geteuid())


def _permit(control_group: str | None) -> Permit:
    uid = os.geteuid()
    if control_group is None:
        return Permit(uid)
    return Permit(uid, lent_group(control_group))
