"""Cards: by the one in each runtime directory ``ctl`` finds who lives there.

``scan`` reads the cards of all the places where runtime directories are made. A card proves nothing: only a control
socket that accepts means that the instance runs. Standard library only; nothing here connects.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from releve.config.frozen import dataclass
from releve.instance import paths
from releve.instance.directories import untrusted
from releve.instance.instances import PLACES, Places, runtime_bases
from releve.server.shared.runtime import CARD_NAME, SOCKET_NAME

CARD_VERSION = 1
CARD_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Card:
    """Who lives in a runtime directory. All paths are absolute, symbolic links in them not followed."""

    pid: int
    folder: str  # where it was started
    config: str | None
    socket: str
    version: int = CARD_VERSION


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
    for base in runtime_bases(environ, uid, places):
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
