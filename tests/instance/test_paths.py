"""What a supervisor of root opens, makes, renames and removes where others may write: in the folder that was meant, or
not at all.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import fcntl
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from releve.config.settings.address import Address
from releve.instance import directories, instances, paths
from releve.server.shared.runtime import HOOK_NAME
from releve.supervisor.host import proc
from releve.supervisor.listeners.aside import put_aside
from releve.supervisor.listeners.listener import ListenError, close_listener
from releve.supervisor.listeners.unix import apply_mode, open_unix
from releve.supervisor.operations import hooks
from releve.supervisor.release.environment import read_variables
from releve.supervisor.release.errors import ReleaseError
from releve.supervisor.reporting import logfiles

ROOT = Path(__file__).parent.parent.parent
NOBODY = pwd.getpwnam("nobody").pw_uid
RACES = 150

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has anything to lose to another user")

# calls that change what lies at a path -> the modules that may make them beside paths.py, and why
CHANGES = {
    "chmod",
    "chown",
    "lchown",
    "link",
    "makedirs",
    "mkdir",
    "mkfifo",
    "mknod",
    "remove",
    "removedirs",
    "rename",
    "renames",
}
WRITES = ("O_CREAT", "O_WRONLY", "O_RDWR", "'w", "'a", "'x", "r+", "rb+")
CHANGES |= {"replace", "rmdir", "symlink", "symlink_to", "hardlink_to", "touch", "truncate", "unlink", "utime"}
CHANGES |= {"rmtree", "write_bytes", "write_text"}
HERE = (ROOT / "instance" / "paths.py", ROOT / "instance" / "folder.py")
ELSEWHERE = {
    ("supervisor/listeners/tcp.py", "bind"),
    ("supervisor/host/system.py", "open"),  # /dev/null
}


def changes(source: str) -> set[str]:
    """Calls by which a source would change a file, or bind a socket, by its path."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
        of = called.value.id if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) else ""
        if of in ("paths", "trusted", "folder", "dataclasses", "system") or (
            name == "replace" and of != "os" and len(node.args) != 1
        ):
            continue  # ours; or of texts (that of a path has one argument)
        if name == "bind" or (
            name in CHANGES and not (name == "remove" and of != "os") and not (name == "replace" and of == "")
        ):
            found.add(name)
        if name == "open" and of in ("os", ""):
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            how = ast.unparse(node.args[1] if len(node.args) > 1 else keywords.get("mode", ast.Constant("r")))
            if "closefd" not in keywords and any(sign in how for sign in WRITES):
                found.add(name)
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("os.chmod(path, 0o600)", {"chmod"}),
        ("path.unlink(missing_ok=True)", {"unlink"}),
        ("sock.bind(str(path))", {"bind"}),
        ("open(path, 'w')", {"open"}),
        ("os.open(path, os.O_RDONLY | os.O_CREAT)", {"open"}),
        ("open(path, encoding='ascii'); open(path, 'rb')", set()),
        ("text.replace('a', 'b'); dataclasses.replace(one, x=1); paths.remove(path); some.remove(1)", set()),
        ("path.with_suffix('.x').write_text('')", {"write_text"}),
    ],
)
def test_the_rule_finds_what_it_should(source: str, found: set[str]) -> None:
    assert changes(source) == found


def test_no_module_of_the_supervisor_changes_a_file_but_through_here() -> None:
    paths = [
        path for folder in ("instance", "supervisor") for path in (ROOT / folder).rglob("*.py") if path not in HERE
    ]
    sources = {str(path.relative_to(ROOT)): path.read_text() for path in paths}
    assert len(sources) > 50
    assert {(name, call) for name, source in sources.items() for call in changes(source)} == ELSEWHERE


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of root's that everybody may enter; ``site`` in it is nobody's."""
    made = Path(tempfile.mkdtemp(prefix="releve-"))
    made.chmod(0o755)
    (made / "site" / "logs").mkdir(parents=True)
    (made / "precious").mkdir(mode=0o700)
    os.chown(made / "site", NOBODY, -1)
    yield made
    shutil.rmtree(made)


def refused(path: Path) -> str:
    with pytest.raises(OSError, match="another user may write in") as caught:
        os.close(paths.open_file(path, os.O_WRONLY | os.O_CREAT))
    assert caught.value.errno == errno.ELOOP
    return str(caught.value.filename)


def test_links_are_followed_where_only_root_and_we_can_have_made_them(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "relative").symlink_to("a/../a/b")
    (tmp_path / "absolute").symlink_to(tmp_path / "relative")
    (tmp_path / "a" / "b" / "last").symlink_to("file")
    os.write(fd := paths.open_file(tmp_path / "absolute" / "last", os.O_WRONLY | os.O_CREAT, 0o640), b"x")
    os.close(fd)
    assert (tmp_path / "a" / "b" / "file").read_text() == "x"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic link") as caught:
        paths.open_file(tmp_path / "loop", os.O_RDONLY)
    assert caught.value.errno == errno.ELOOP


def test_what_the_kernel_links_to_is_reached(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    try:
        for path in (f"/proc/self/fd/{write_end}", f"/dev/fd/{write_end}"):
            os.write(fd := paths.open_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), b"x")
            os.close(fd)
            assert os.read(read_end, 10) == b"x"
    finally:
        os.close(read_end)
        os.close(write_end)


@as_root
def test_no_link_is_followed_below_a_folder_that_somebody_else_may_write_in(place: Path) -> None:
    paths.open_file(place / "site" / "logs" / "a.log", os.O_WRONLY | os.O_CREAT)  # as long as there is none
    (place / "site" / "logs").rename(place / "site" / "old")
    (place / "site" / "logs").symlink_to(place / "precious")
    assert refused(place / "site" / "logs" / "a.log") == str(place / "site" / "logs")
    (place / "site" / "old" / "b.log").symlink_to(place / "precious" / "b.log")
    assert refused(place / "site" / "old" / "b.log").endswith("old/b.log")  # root's own folder, in one that is not
    (place / "way").symlink_to("site")  # root's link leads there
    assert refused(place / "way" / "logs" / "a.log").endswith("site/logs")
    assert list((place / "precious").iterdir()) == []
    with pytest.raises(OSError, match="leads out of a folder"):
        paths.open_file(f"{place}/site/old/../../precious/a.log", os.O_WRONLY | os.O_CREAT)


@as_root
@pytest.mark.parametrize(("mode", "gid"), [(0o777, 0), (0o775, 4), (0o1777, 0)])
def test_everybody_and_a_group_are_somebody_else(place: Path, mode: int, gid: int) -> None:
    shared = place / "shared"
    shared.mkdir()
    os.chown(shared, -1, gid)
    shared.chmod(mode)
    (shared / "link").symlink_to(place / "precious")
    refused(shared / "link" / "a.log")
    sticky = bool(mode & stat.S_ISVTX)
    (shared / "ours").mkdir()
    (shared / "ours" / "link").symlink_to(place / "precious")
    # nobody can exchange ours there
    with contextlib.nullcontext() if sticky else pytest.raises(OSError, match="symbolic link"):
        os.close(paths.open_file(shared / "ours" / "link" / "a.log", os.O_WRONLY | os.O_CREAT))


@as_root
def test_another_name_of_a_precious_file_is_refused(place: Path) -> None:
    """Where the kernel lets anybody make a hard link to anything (fs.protected_hardlinks)."""
    (place / "precious" / "file").write_text("precious")
    os.link(place / "precious" / "file", place / "site" / "a.log")
    with pytest.raises(OSError, match="a file with a second name"):
        paths.open_file(place / "site" / "a.log", os.O_WRONLY | os.O_TRUNC)
    assert (place / "precious" / "file").read_text() == "precious"


# Renames a folder away and puts a link in its place, and back, for as long as it lives.
SWAP = """
import os, sys
os.chdir(sys.argv[1]); os.setgroups([]); os.setuid(int(sys.argv[2]))
os.symlink(os.path.realpath("../precious"), "link"); print(flush=True)
while True:
    os.rename("logs", "old"); os.rename("link", "logs"); os.rename("logs", "link"); os.rename("old", "logs")
"""


@contextlib.contextmanager
def swapped(site: Path) -> Iterator[None]:
    argv = [sys.executable, "-c", SWAP, str(site), str(NOBODY)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        try:
            yield
        finally:
            process.kill()


@as_root
def test_a_race_of_renames_never_leads_elsewhere(place: Path) -> None:
    """Files, sockets, renames and removals, while the user exchanges the folder for a link as fast as it can."""
    site, precious = place / "site", place / "precious"
    (precious / "a.sock").write_text("precious")
    before = os.stat(precious / "a.sock")
    done = 0
    limit = time.monotonic() + 20
    with swapped(site):
        for number in range(RACES):
            with contextlib.suppress(OSError):
                os.close(paths.open_file(site / "logs" / f"{number}.log", os.O_WRONLY | os.O_CREAT))
                done += 1
            with contextlib.suppress(OSError):
                paths.make_folder(site / "logs" / f"{number}.d", 0o755)
            with contextlib.suppress(ListenError):
                opened = open_unix(Address("unix", path=str(site / "logs" / "a.sock"), mode=0o666), 1)
                apply_mode(opened, opened.address)
                put_aside(opened)
                close_listener(opened)
            with contextlib.suppress(OSError):
                paths.remove(site / "logs" / "a.sock")
            if time.monotonic() > limit:
                break
    assert done > 0  # it was the right folder now and then
    assert [path.name for path in precious.iterdir()] == ["a.sock"]
    after = os.stat(precious / "a.sock")
    assert (after.st_mode, after.st_uid, after.st_ino) == (before.st_mode, before.st_uid, before.st_ino)
    assert (precious / "a.sock").read_text() == "precious"


@as_root
def test_a_socket_in_a_folder_of_somebody_else_has_its_owner_and_mode(place: Path) -> None:
    address = Address("unix", path=str(place / "site" / "a.sock"), mode=0o660, owner="nobody", group="nogroup")
    opened = open_unix(address, 5)
    try:
        seen = os.lstat(address.path)
        assert (stat.S_IMODE(seen.st_mode), seen.st_uid) == (0o660, NOBODY)
        assert (seen.st_dev, seen.st_ino) == opened.inode
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(address.path)
        assert sorted(os.listdir(place / "site")) == ["a.sock", "logs"]
        # The file of a mode that is about to change is exchanged for a link: the link's target keeps its mode.
        (place / "precious" / "file").touch(mode=0o600)
        os.unlink(address.path)
        os.symlink(place / "precious" / "file", address.path)
        apply_mode(opened, Address("unix", path=address.path, mode=0o666))
        assert stat.S_IMODE(os.stat(place / "precious" / "file").st_mode) == 0o600
    finally:
        close_listener(opened)
    assert os.path.islink(address.path)  # which is not what was bound


@as_root
def test_a_folder_that_somebody_further_up_can_exchange_is_no_runtime_directory(place: Path) -> None:
    run = place / "site" / "logs" / "run"  # root's, in root's, in nobody's
    with pytest.raises(instances.InstanceError, match=r"site belongs to nobody \(uid 65534\); choose another"):
        directories.prepare(run, 0)


@as_root
def test_variables_are_not_read_through_a_link_of_the_user(place: Path) -> None:
    secret = place / "precious" / "secret.env"
    secret.write_text("PASSWORD=root\n")
    link = place / "site" / "env"
    link.symlink_to(secret)
    nobody = pwd.getpwnam("nobody")
    with pytest.raises(
        ReleaseError, match="cannot read env_file: a symbolic link, in a folder that another user may write in"
    ):
        read_variables(str(link), nobody.pw_uid)
    os.chown(secret, NOBODY, -1)  # what is the user's own is no secret to it
    assert read_variables(str(link), nobody.pw_uid) == {"PASSWORD": "root"}
    assert read_variables(str(link), None) == {"PASSWORD": "root"}  # it is this user who asks


def test_a_lease_on_a_file_has_nobody_wait(tmp_path: Path) -> None:
    """Its owner's: who opens it waits for up to /proc/sys/fs/lease-break-time (fcntl(2), F_SETLEASE)."""
    file = tmp_path / "env"
    file.write_text("A=1")
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    with file.open("r+") as held:
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        for way in (paths.open_regular, lambda path: paths.open_file(path, logfiles._FLAGS)):
            with pytest.raises(BlockingIOError):
                os.close(way(file))
    signal.signal(signal.SIGIO, signal.SIG_DFL)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a session, as a hook does."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("identifier", [" 1f2e", ""])  # none: as older releases write it
def test_a_hook_that_was_left_over_is_ended(
    tmp_path: Path, bystander: subprocess.Popen[bytes], identifier: str
) -> None:
    (tmp_path / HOOK_NAME).write_text(f"{bystander.pid} {proc.started_at(bystander.pid)}{identifier}\n")
    hooks.end_left_over(tmp_path)
    assert bystander.wait(10) == -9
    assert not (tmp_path / HOOK_NAME).exists()


def test_a_hook_is_ended_whose_supervisor_was_killed_while_it_started_it(tmp_path: Path) -> None:
    environment = {**os.environ, "RELEVE_HOOK_ID": "1f2e"}
    led = ["sh", "-c", "sleep 60 & wait"]
    with (
        subprocess.Popen(led, start_new_session=True, env=environment) as hook,
        subprocess.Popen(["sleep", "60"], start_new_session=True, env={**os.environ, "RELEVE_HOOK_ID": "1f2"}) as other,
        subprocess.Popen(["sleep", "60"], env=environment) as member,
    ):
        (tmp_path / HOOK_NAME).write_text("0 0 1f2e\n")
        hooks.end_left_over(tmp_path)
        try:
            assert hook.wait(10) == -9 and not (tmp_path / HOOK_NAME).exists()
            assert (other.poll(), member.poll()) == (None, None)
        finally:
            other.kill()
            member.kill()
    (tmp_path / HOOK_NAME).write_text("0 0 1f2e\n")
    hooks.end_left_over(tmp_path)  # none is left
    assert not (tmp_path / HOOK_NAME).exists()


@as_root
@pytest.mark.parametrize("how", ["foreign", "writable", "link", "group", "fifo"])
def test_nobody_is_killed_by_a_file_that_a_hook_has_not_left(
    place: Path, tmp_path: Path, bystander: subprocess.Popen[bytes], how: str
) -> None:
    file = tmp_path / HOOK_NAME
    text = f"{bystander.pid} {proc.started_at(bystander.pid)}\n"
    if how == "fifo":
        os.mkfifo(file)
    elif how == "link":
        (tmp_path / "other").write_text(text)
        os.chown(tmp_path / "other", NOBODY, -1)
        file.symlink_to("other")
    else:
        file.write_text(text)
    if how == "foreign":
        os.chown(file, NOBODY, -1)
    if how == "writable":
        file.chmod(0o666)
    if how == "group":  # a process that leads nothing: its number is no group's
        with subprocess.Popen(["sleep", "60"]) as other:
            file.write_text(f"{other.pid} {proc.started_at(other.pid)}\n")
            hooks.end_left_over(tmp_path)
            assert other.poll() is None
            other.kill()
    hooks.end_left_over(tmp_path)
    assert bystander.poll() is None
