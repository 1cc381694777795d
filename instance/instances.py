"""Where an instance lives: its name, its folders, and the card by which ``ctl`` finds it.

One *instance* is one supervisor with its service. It is named after its configuration file or, without one, the folder
it was started in. Its runtime directory holds the control socket and a card that says who lives
there; ``scan`` reads the cards of all the places where runtime directories are made. A card proves nothing: only a
control socket that accepts means that the instance runs.

Standard library only; nothing here connects, and only ``prepare`` and ``write_card`` change anything.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pwd
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from releve.config.frozen import dataclass
from releve.config.kernel import UNIX_PATH_MAX_BYTES
from releve.instance import ownership, paths
from releve.server.shared.runtime import CARD_NAME, LOCK_NAME, SOCKET_NAME

CARD_VERSION = 1
CARD_MAX_BYTES = 64 * 1024
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


@dataclass(frozen=True, slots=True)
class Card:
    """Who lives in a runtime directory. All paths are absolute, symbolic links in them not followed."""

    pid: int
    folder: str  # where it was started
    config: str | None
    socket: str
    version: int = CARD_VERSION


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
    """``path`` as seen from ``folder``, ``~`` expanded and symbolic links not followed."""
    return Path(os.path.normpath(folder / Path(path).expanduser()))


def instance_name(folder: Path, config: Path | None) -> str:
    """The name of an instance: readable, safe in a path, and the same at every start.

    It is made of absolute paths with their links not followed: a new release behind the same link is the same instance.
    """
    source = config if config is not None else folder
    readable = (
        config.stem
        if config is not None and config.name != USUAL_FILE
        else (config.parent if config is not None else folder).name
    )
    safe = re.sub(r"[^A-Za-z0-9_.]+", "-", readable).strip("-.")[:40] or "service"
    return f"{safe}-{_short_hash(os.fsencode(source))}"


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
    base = next(iter(_runtime_bases(environ, uid, places)))
    short = name[-8:]
    for path in (base / name, base / short, _private_base(uid, places) / name):
        if _fits(path):
            return path
    _check_length(_private_base(uid, places) / short, "the runtime directory")
    return _private_base(uid, places) / short


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
            return _private_base(uid, places) / name
    return usual if _can_be_made(usual) else _private_base(uid, places) / name


def _can_be_made(directory: Path) -> bool:
    """Whether this process may make a folder, or write in the one that is there."""
    there = next(folder for folder in (directory, *directory.parents) if os.path.lexists(folder))
    return os.access(there, os.W_OK | os.X_OK)


@dataclass(frozen=True, slots=True)
class Access:
    """What others may do in a folder: the mode it is made with, and the group whose members have to come in."""

    mode: int = 0o700
    group: int | None = None


PRIVATE = Access()


def prepare(directory: Path, uid: int, access: Access = PRIVATE) -> None:
    """Make a runtime or state directory, or verify one that is there.

    Whoever can write in it could put up a socket or a history of their own. Raises InstanceError if it or the folder
    around it belongs to somebody else or is open to everybody, or if it cannot be made.
    """
    try:
        for folder in reversed(directory.parents[1:]):
            if not folder.is_dir():
                paths.make_folder(folder, 0o755)
        paths.make_folder(directory.parent, 0o755 if uid == 0 else 0o700 if access.group is None else 0o711)
        paths.make_folder(directory, access.mode)
        reason = untrusted(directory, uid)
        if reason is None and access != PRIVATE:
            reason = _open_to(directory, uid, access)
    except FileExistsError as error:
        raise InstanceError(f"cannot use {directory}: {error.filename} is not a folder; {_REMEDY}") from error
    except OSError as error:
        raise InstanceError(f"cannot make {directory}: {_why(error)}; {_REMEDY}") from error
    if reason is not None:
        raise InstanceError(f"cannot use {directory}: {reason}; {_REMEDY}")


def _open_to(directory: Path, uid: int, access: Access) -> str | None:
    """Give a runtime directory its mode; why that cannot be. One that holds what is not ours keeps the one it has."""
    seen = os.stat(directory)
    names = os.listdir(directory)
    if seen.st_uid == uid and (not names or os.path.isfile(directory / LOCK_NAME)):
        if stat.S_IMODE(seen.st_mode) != access.mode:
            with paths.folder(directory) as folder:
                folder.give(access.mode, None)
        return None
    if (
        access.group is None
        or seen.st_mode & stat.S_IXOTH
        or (seen.st_mode & stat.S_IXGRP and seen.st_gid == access.group)
    ):
        return None
    return (
        "the members of control_group may not enter it, and its mode is not ours to change; chgrp "
        f"{access.group} and chmod g+x it"
    )


def blocked(directory: Path, group: int) -> Path | None:
    """The first folder on the way to ``directory`` that members of a group may not pass, as far as modes tell."""
    for folder in reversed(directory.parents):
        seen = os.stat(folder)
        if not (seen.st_mode & stat.S_IXOTH or (seen.st_mode & stat.S_IXGRP and seen.st_gid == group)):
            return folder
    return None


def planted(path: str | os.PathLike[str], uid: int, *, links: bool = False) -> str | None:
    """Why a file that is there cannot be one of ours, or None (also if there is none).

    Raises OSError if it cannot be looked at.

    ``links``: ours may be a symbolic link.
    """
    try:
        seen = os.lstat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(seen.st_mode) and not links:
        return f"{path} is a symbolic link"
    return None if seen.st_uid in (0, uid) else f"{path} belongs to {ownership.user(seen.st_uid)}"


def untrusted(directory: Path, uid: int) -> str | None:
    """Why nothing in ``directory`` may be believed, or None. Raises OSError if it cannot be looked at."""
    for folder, sticky_helps in ((directory, False), (directory.parent, True)):
        seen = os.stat(folder) if sticky_helps else os.lstat(folder)
        if stat.S_ISLNK(seen.st_mode) and seen.st_uid in (0, uid):
            seen = os.stat(folder)
        if not stat.S_ISDIR(seen.st_mode):
            return f"{folder} is not a folder"
        if seen.st_uid not in (0, uid):
            return f"{folder} belongs to {ownership.user(seen.st_uid)}"
        if seen.st_mode & stat.S_IWOTH and not (sticky_helps and seen.st_mode & stat.S_ISVTX):
            return f"everybody may write in {folder}"
    if uid != os.geteuid():
        return None
    with paths.folder(directory) as found:  # somebody further up could put another one in its place
        return found.why


def write_card(directory: Path, card: Card) -> None:
    """Put the card up, whole or not at all. Raises OSError."""
    with paths.folder(directory) as folder:
        folder.write(CARD_NAME, json.dumps(dataclasses.asdict(card)).encode("ascii"), 0o644)


def remove_card(directory: Path) -> None:
    """Take the card down; no error if there is none."""
    with suppress(FileNotFoundError):
        paths.remove(directory / CARD_NAME)


def read_card(directory: Path) -> Card | None:
    """The card in a runtime directory, or None if there is none that can be read.

    Keys that a later release has added are ignored.
    """
    try:
        with (directory / CARD_NAME).open("rb") as file:
            values = json.loads(file.read(CARD_MAX_BYTES))
        card = Card(**{field.name: values[field.name] for field in dataclasses.fields(Card)})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    paths = [card.folder, card.socket, *([] if card.config is None else [card.config])]
    sound = (
        isinstance(card.pid, int)
        and isinstance(card.version, int)
        and all(isinstance(path, str) and os.path.isabs(path) for path in paths)
    )
    return card if sound and Path(card.socket).name == SOCKET_NAME else None


def scan(environ: Mapping[str, str], uid: int, places: Places = PLACES) -> list[Card]:
    """The cards in all places where an instance that concerns this user may live; the newest first.

    Cards in folders that others can write in are not believed.
    """
    found: dict[str, tuple[float, Card]] = {}
    for base in _runtime_bases(environ, uid, places):
        for directory in _folders(base):
            try:
                card = None if _foreign(directory, base, uid, places) else read_card(directory)
                if card is not None:
                    found.setdefault(card.socket, (os.stat(directory / CARD_NAME).st_mtime, card))
            except OSError:
                continue
    return [card for _, card in sorted(found.values(), key=lambda item: -item[0])]


def closed(uid: int, places: Places = PLACES) -> list[Path]:
    """Folders in the system's own base that this user may not enter: of services whose ``control_group`` it is no
    member of.
    """
    base = places.run / "releve"
    return (
        [] if uid == 0 else [folder for folder in _folders(base) if folder != base and not os.access(folder, os.X_OK)]
    )


def is_temporary(directory: Path, uid: int, places: Places = PLACES) -> bool:
    """Whether a folder is one of those that the system may clear at any boot."""
    return directory.parent == _private_base(uid, places)


_REMEDY = "choose another with runtime_directory or state_directory in the configuration"


def _runtime_bases(environ: Mapping[str, str], uid: int, places: Places) -> Iterator[Path]:
    """Folders of runtime directories, the one to use first; the rest are where others of this user may have started."""
    told = environ.get("XDG_RUNTIME_DIR", "")
    system = places.run / "releve"
    mine = (
        [system]
        if uid == 0
        else [Path(told) / "releve" if os.path.isabs(told) else None, places.run / "user" / str(uid) / "releve"]
    )
    usable = [base for base in mine if base is not None and _usable(base, uid)]
    yield from dict.fromkeys([*usable, _private_base(uid, places), system])


def _usable(base: Path, uid: int) -> bool:
    """Whether ``base`` is, or could be made, a folder of this user."""
    try:
        if base.is_dir():
            return base.stat().st_uid == uid and os.access(base, os.W_OK)
        return base.parent.stat().st_uid == uid and os.access(base.parent, os.W_OK)
    except OSError:
        return False


def _private_base(uid: int, places: Places) -> Path:
    return places.temporary / f"releve-{uid}"


def _folders(base: Path) -> Iterator[Path]:
    """Candidates in a base: the base itself (systemd's ``RuntimeDirectory=releve``) and its folders."""
    yield base
    try:
        yield from sorted(path for path in base.iterdir() if path.is_dir())
    except OSError:
        return


def _foreign(directory: Path, base: Path, uid: int, places: Places) -> bool:
    """Whether a folder is not to be believed; in the system's own base each belongs to the user its service runs as."""
    if base == places.run / "releve":
        return directory != base and os.stat(base).st_uid not in (0, uid)
    return untrusted(directory, uid) is not None


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
    return hashlib.sha256(data).hexdigest()[:8]


def _home(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return ""


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
