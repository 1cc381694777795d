"""Cards: written, read, and not believed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from releve.instance import cards, directories
from releve.instance.cards import Card
from releve.instance.instances import Places

UID = os.geteuid()


def test_folders_that_one_may_not_enter(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("open", "shut"):
        (places.run / "releve" / name).mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, how: Path(path).name != "shut")
    assert cards.closed(424242, places) == [places.run / "releve" / "shut"]
    assert cards.closed(0, places) == []


def test_cards(tmp_path: Path, places: Places) -> None:
    card = Card(pid=7, folder="/srv/shop", config=None, socket=str(tmp_path / "ctl.sock"))
    assert cards.read_card(tmp_path) is None
    cards.write_card(tmp_path, card)
    assert cards.read_card(tmp_path) == card
    later = {**json.loads((tmp_path / "instance.json").read_text()), "version": 2, "novel": True}
    (tmp_path / "instance.json").write_text(json.dumps(later))
    found = cards.read_card(tmp_path)
    assert found is not None and (found.version, found.pid) == (2, 7), "the card of a later release is understood"
    cards.remove_card(tmp_path)
    cards.remove_card(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "t", "var"], "nothing is left behind"


def test_a_card_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "instance.json").mkdir()
    with pytest.raises(OSError):
        cards.write_card(tmp_path, Card(1, "/", None, "/ctl.sock"))
    assert [path.name for path in tmp_path.iterdir()] == ["instance.json"]


def test_scan_finds_every_place_newest_first(places: Places, tmp_path: Path) -> None:
    folders = [places.run / "releve", places.run / "releve" / "shop", places.temporary / f"releve-{UID}" / "blog"]
    for age, folder in enumerate(folders):
        directories.prepare(folder, UID) if folder.parent != places.run else folder.mkdir(mode=0o755)
        cards.write_card(folder, Card(age, f"/srv/{age}", None, str(folder / "ctl.sock")))
        os.utime(folder / "instance.json", (1000 - age, 1000 - age))
    assert [card.pid for card in cards.scan({}, UID, places)] == [0, 1, 2]


@pytest.mark.root
@pytest.mark.skipif(UID != 0, reason="needs root to give folders away")
def test_scan_does_not_believe_cards_in_folders_of_somebody_else(places: Places) -> None:
    base = places.temporary / "releve-0"
    (base / "evil").mkdir(parents=True)
    cards.write_card(base / "evil", Card(1, "/", None, str(base / "evil" / "ctl.sock")))
    assert len(cards.scan({}, 0, places)) == 1
    os.chown(base, 65534, -1)
    assert cards.scan({}, 0, places) == []
