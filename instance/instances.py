"""Where an instance lives: its name, and its folders.

One *instance* is one supervisor with its service. It is named after its configuration file or, without one, the folder
it was started in. Its runtime directory holds the control socket and a card that says who lives there (``cards.py``).

Standard library only; nothing here changes anything.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from releve.config.frozen import dataclass
from releve.config.kernel import UNIX_PATH_MAX_BYTES
from releve.server.shared.runtime import SOCKET_NAME

USUAL_FILE = "releve.yaml"

_UNSAFE = re.compile(r"[^A-Za-z0-9_.@-]+")  # in the name of a unit


class InstanceError(Exception):
    """An instance cannot live where it was told to; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of the system in which instances may live; tests use their own."""

    run: Path = Path("/run")
    var: Path = Path("/var/lib")
    temporary: Path = Path("/tmp")


PLACES = Places()


def working_folder(environ: Mapping[str, str]) -> Path:
    """The current folder as the user sees it: ``$PWD`` where that is true, else the real path."""
    real = Path.cwd()
    seen = environ.get("PWD", "")
    try:
        if os.path.isabs(seen) and os.path.samefile(seen, real):
            return Path(os.path.normpath(seen)) if os.path.samefile(os.path.normpath(seen), real) else real
    except OSError:
        pass
    return real


def absolute(path: str | os.PathLike[str], folder: Path) -> Path:
    """``path`` as seen from ``folder``, ``~`` expanded and symbolic links not followed, unless ``..`` follows one: in a
    folder behind a link, ``../shop.yaml`` is the file that ``cat`` shows.
    """
    whole = folder / Path(path).expanduser()
    plain = os.path.normpath(whole)
    if ".." not in whole.parts or os.path.realpath(plain) == os.path.realpath(whole):
        return Path(plain)
    beyond = len(whole.parts) - whole.parts[::-1].index("..")
    return Path(os.path.realpath(Path(*whole.parts[:beyond])), *whole.parts[beyond:])


def instance_name(folder: Path, config: Path | None) -> str:
    """The name of an instance: readable, safe in a path, and the same at every start.

    It is made of absolute paths with their links not followed: a new release behind the same link is the same instance.
    """
    source = config if config is not None else folder
    return f"{readable_name(folder, config)}-{_short_hash(os.fsencode(source))}"


def readable_name(folder: Path, config: Path | None) -> str:
    """What people call an instance, safe in a path: ``shop`` for ``/etc/releve/shop.yaml``, and for
    ``/srv/shop/releve.yaml``.
    """
    readable = (
        config.stem
        if config is not None and config.name != USUAL_FILE
        else (config.parent if config is not None else folder).name
    )
    return re.sub(r"[^A-Za-z0-9_.]+", "-", readable).strip("-.")[:40] or "service"


def unit_name(stem: str) -> str:
    """The name of the unit that `systemd-unit` makes for a configuration file, and of that one's folders; safe
    in both.
    """
    return _UNSAFE.sub("-", stem).strip("-.") or "releve"


def runtime_directory(
    settings_value: str | None, name: str, environ: Mapping[str, str], uid: int, places: Places = PLACES
) -> Path:
    """Where the instance ``name`` keeps its control socket and its lock.

    The setting, else systemd's ``$RUNTIME_DIRECTORY``, else a folder of the user. Raises InstanceError if the path of
    the control socket would be too long for the kernel.
    """
    told = settings_value or _first(environ.get("RUNTIME_DIRECTORY"))
    if told:
        _check_length(Path(told), "runtime_directory" if settings_value else "$RUNTIME_DIRECTORY")
        return Path(told)
    base = next(iter(runtime_bases(environ, uid, places)))
    short = name[-8:]
    for path in (base / name, base / short, private_base(uid, places) / name):
        if _fits(path):
            return path
    _check_length(private_base(uid, places) / short, "the runtime directory")
    return private_base(uid, places) / short


def state_directory(
    settings_value: str | None, name: str, environ: Mapping[str, str], uid: int, places: Places = PLACES
) -> Path:
    """Where the instance ``name`` keeps its history: the setting, else ``$STATE_DIRECTORY``, else a folder of the user.

    A user without a home, or with one that cannot be written (a container's), gets one beside the runtime directories.
    """
    told = settings_value or _first(environ.get("STATE_DIRECTORY"))
    if told:
        return Path(told)
    if uid == 0:
        usual = places.var / "releve" / name
    else:
        state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "") or _home(uid)
        if os.path.isabs(state):
            usual = Path(state) / "releve" / name
        elif os.path.isabs(home) and home != "/":
            usual = Path(home) / ".local" / "state" / "releve" / name
        else:
            return private_base(uid, places) / name
    return usual if _can_be_made(usual) else private_base(uid, places) / name


def _can_be_made(directory: Path) -> bool:
    """Whether this process may make a folder, or write in the one that is there."""
    there = next(folder for folder in (directory, *directory.parents) if os.path.lexists(folder))
    return os.access(there, os.W_OK | os.X_OK)


def is_temporary(directory: Path, uid: int, places: Places = PLACES) -> bool:
    """Whether a folder is one of those that the system may clear at any boot."""
    return directory.parent == private_base(uid, places)


def runtime_bases(environ: Mapping[str, str], uid: int, places: Places) -> Iterator[Path]:
    """Folders of runtime directories, the one to use first; the rest are where others of this user may have started."""
    told = environ.get("XDG_RUNTIME_DIR", "")
    system = places.run / "releve"
    mine = (
        [system]
        if uid == 0
        else [Path(told) / "releve" if os.path.isabs(told) else None, places.run / "user" / str(uid) / "releve"]
    )
    usable = [base for base in mine if base is not None and _usable(base, uid)]
    yield from dict.fromkeys([*usable, private_base(uid, places), system])


def _usable(base: Path, uid: int) -> bool:
    """Whether ``base`` is, or could be made, a folder of this user."""
    try:
        if base.is_dir():
            return base.stat().st_uid == uid and os.access(base, os.W_OK)
        return base.parent.stat().st_uid == uid and os.access(base.parent, os.W_OK)
    except OSError:
        return False


def private_base(uid: int, places: Places) -> Path:
    """The folder of a user in that for temporary files, where nothing better is to be had."""
    return places.temporary / f"releve-{uid}"


def _first(paths: str | None) -> str | None:
    """Of systemd's colon separated folders (systemd.exec(5)), which it sorts, the one that is by its name for us, else
    the first.
    """
    several = (paths or "").split(":")
    first = next((path for path in several if "releve" in path.split("/")[-2:]), several[0])
    return first if os.path.isabs(first) else None


def _fits(directory: Path) -> bool:
    return len(os.fsencode(directory / SOCKET_NAME)) <= UNIX_PATH_MAX_BYTES


def _check_length(directory: Path, source: str) -> None:
    if not _fits(directory):
        length = len(os.fsencode(directory / SOCKET_NAME))
        raise InstanceError(
            f"cannot use {directory} ({source}): the path of the control socket would have {length} "
            "bytes, the system allows "
            f"{UNIX_PATH_MAX_BYTES}; set runtime_directory to a shorter path"
        )


def _short_hash(data: bytes) -> str:
    import hashlib  # with OpenSSL: 2 ms of each ctl, which seldom names an instance by its path

    return hashlib.sha256(data).hexdigest()[:8]


def _home(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return ""
