"""Who may use the control socket: root, the user of the service, members of its group; a deploy user for some verbs."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.pythons import usable
from harness.service import Service, serving
from harness.site import SYSTEM_PYTHON, lent

NAME = "www-data"
USER_ID, GROUP_ID = next(((one.pw_uid, one.pw_gid) for one in pwd.getpwall() if one.pw_name == NAME), (-1, -1))

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user"),
    pytest.mark.skipif(USER_ID < 0, reason=f"there is no user {NAME} here"),
    pytest.mark.skipif(not usable(SYSTEM_PYTHON), reason=f"{SYSTEM_PYTHON} is not Python 3.11 or later"),
]


def ctl(
    service: Service, user: str, *arguments: str, groups: list[int] | None = None
) -> subprocess.CompletedProcess[str]:
    """``ctl`` as somebody else, in processes that may import Relève: from a client that speaks the protocol by
    itself.
    """
    client = """
import json, socket, sys
sock = socket.socket(socket.AF_UNIX)
try:
    sock.connect(sys.argv[1])
except PermissionError as error:
    sys.exit(f"connect: {error}")
arguments = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
sock.sendall(json.dumps({"version": 1, "verb": sys.argv[2], "arguments": arguments}).encode() + b"\\n")
print([line for line in sock.makefile()][-1])
"""
    account = pwd.getpwnam(user)
    return subprocess.run(
        [SYSTEM_PYTHON, "-c", client, str(service.control_socket), *arguments],
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=groups or [],
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_third_user_may_not_connect(open_folder: Path) -> None:
    with serving(open_folder, python=SYSTEM_PYTHON, user=NAME) as service:
        for user in ("nobody", NAME):  # whom workers run as has no say either
            assert "Permission denied" in ctl(service, user, "status").stderr
        command = [SYSTEM_PYTHON, "-P", "-m", "releve.ctl.main", "-c", str(service.file), "stop"]
        refused = subprocess.run(
            command,
            user="nobody",
            group=pwd.getpwnam("nobody").pw_gid,
            extra_groups=[],
            env={"PYTHONPATH": str(lent())},
            capture_output=True,
            text=True,
            cwd="/",
        )
        assert refused.returncode == 1
        assert "permission denied; use the user that runs the service, or root" in refused.stderr
        service.control_socket.chmod(0o666)  # should that have happened: the kernel says who it is
        for verb in ("status", "stop", "upgrade"):
            answer = json.loads(ctl(service, "nobody", verb).stdout)
            assert (answer["status"], answer["message"]) == (
                1,
                "permission denied: nobody may not control this service; use root",
            )
        assert service.who()["release"] == "one"


def test_members_of_the_control_group_may(open_folder: Path) -> None:
    with serving(open_folder, python=SYSTEM_PYTHON, user=NAME, control_group="games") as service:
        games = os.stat(service.control_socket)
        runtime = os.stat(service.control_socket.parent)
        assert (games.st_mode & 0o777, runtime.st_mode & 0o777) == (0o660, 0o711)
        assert games.st_gid != runtime.st_gid
        assert json.loads(ctl(service, "nobody", "status", groups=[games.st_gid]).stdout)["status"] == 0
        assert json.loads(ctl(service, "games", "status").stdout)["status"] == 0
        assert "Permission denied" in ctl(service, "nobody", "status", groups=[65534]).stderr
        service.kill_supervisor()
        assert json.loads(ctl(service, "nobody", "status", groups=[games.st_gid]).stdout)["status"] == 0


def test_a_deploy_user_is_kept_to_verbs_and_folders(open_folder: Path) -> None:
    """Who is a member of the control group, and neither root nor the supervisor's user; also after a kill, and another
    supervisor.
    """
    control = {"may": ["status", "upgrade"], "directories": str(open_folder / "releases")}
    with serving(open_folder, python=SYSTEM_PYTHON, user=NAME, control_group="games", control=control) as service:
        service.release("two")

        def ask(verb: str, **arguments: str) -> tuple[int, str, dict[str, Any]]:
            answer = json.loads(ctl(service, "games", verb, json.dumps(arguments)).stdout)
            return answer["status"], answer["message"], answer

        status, _, shown = ask("status")
        assert (status, shown["may"]) == (
            0,
            {"verbs": ["status", "upgrade"], "directories": [str(open_folder / "releases")]},
        )
        assert "you may" not in service.must("status")  # who is root may everything
        for verb in ("stop", "rollback"):
            assert ask(verb)[:2] == (1, f"permission denied: games may not use ctl {verb}; allowed: status, upgrade")
        assert ask("upgrade", directory="/tmp")[:2] == (
            1,
            f"permission denied: games may not use ctl upgrade: /tmp is not in {open_folder}/releases "
            "(control.directories)",
        )
        assert ask("upgrade", python=SYSTEM_PYTHON)[0] == 1
        assert ask("upgrade", bounds="")[0] == 2  # no argument of a client's
        assert service.log().count("permission denied: games may not") == 4
        assert ask("upgrade", directory=str(open_folder / "releases" / "two"))[0] == 0
        assert service.who()["release"] == "two"
        for name in ("gen-2.sock", "gen-2.json"):  # without which nobody would believe the master
            (service.control_socket.parent / name).unlink()
        workers = service.workers()
        service.do("scale", workers="+1")  # whatever begins, what has gone is made again
        service.kill_supervisor()
        assert workers <= service.workers()
        assert ask("stop")[0] == 1
        outside = open_folder / "outside"
        shutil.copytree(open_folder / "releases" / "one", outside)
        (open_folder / "current").unlink()
        (open_folder / "current").symlink_to(outside)
        status, message, _ = ask("upgrade")  # to where the configuration leads by now
        assert status == 4 and f"permission denied: {outside} is not in {open_folder}/releases" in message
        service.do("upgrade")  # root


def test_a_control_group_that_waits_for_the_next_start_is_said_by_an_upgrade_too(tmp_path: Path) -> None:
    """Else whoever changed it learns from a start that fails that a unit has to be made again."""
    with serving(tmp_path, workers=1) as service:
        service.configure(control_group="no-such-group")
        told = (
            "warning: control_group changed: it takes effect when the supervisor restarts, and that start would fail: "
            "cannot let the group no-such-group use ctl: there is no such group"
        )
        for verb in ("reload", "upgrade"):
            ended = service.ctl(verb)
            assert ended.returncode == 0 and told in " ".join(ended.stderr.split())


def test_the_history_names_the_user_behind_sudo(tmp_path: Path) -> None:
    """A shell of root's with the login of another user is what sudo leaves."""
    login = pwd.getpwnam("nobody").pw_uid
    with serving(tmp_path, workers=1) as service:
        shell = f'echo {login} > /proc/self/loginuid || exit 77; exec "$@"'
        command = ["sh", "-c", shell, "sh", sys.executable, "-m", "releve.ctl.main"]
        command += ["--socket", str(service.control_socket), "scale", "2"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
        if ended.returncode == 77:
            pytest.skip("this kernel does not let a process set its loginuid")
        assert ended.returncode == 0, ended.stderr
        by = service.ask("history")["entries"][-1]["by"]
        assert re.fullmatch(r"root \(login nobody, pid \d+\)", by)
        assert f"started by {by}" in service.log()
