"""The anchor: paths through links that deploys move, and what the import system makes of them."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from releve.server.shared.anchor import Anchor, anchored, links


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """``current`` -> ``live`` -> ``releases/one``; ``/other`` leads to the same by way of its parent."""
    for release in ("one", "two"):
        (tmp_path / "srv" / "releases" / release / "lib").mkdir(parents=True)
        (tmp_path / "srv" / "releases" / release / "lib" / "late.py").write_text(f"NAME = {release!r}\n")
    (tmp_path / "srv" / "live").symlink_to("releases/one")
    (tmp_path / "srv" / "current").symlink_to("live")
    (tmp_path / "other").symlink_to("srv")
    return tmp_path / "srv"


def move(link: Path, to: str) -> None:
    beside = link.with_name("beside")
    beside.symlink_to(to)
    beside.replace(link)


def test_all_links_on_the_way_are_known(site: Path) -> None:
    one = str(site / "releases" / "one")
    assert links(str(site / "current")) == {str(site / "current"): one, str(site / "live"): one}
    assert links(str(site.parent / "other" / "current" / "lib"))[str(site.parent / "other")] == str(site)
    assert links(one) == {}
    with pytest.raises(OSError, match="No such file"):
        (site / "gone").symlink_to("nowhere")
        links(str(site / "gone"))


@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("srv/current/lib", "srv/releases/one/lib"),
        ("srv/current", "srv/releases/one"),
        ("srv/live/lib/../lib", "srv/releases/one/lib/../lib"),
        ("other/current/lib", "srv/releases/one/lib"),
        ("srv/./releases/../current/lib/", "srv/releases/one/lib/"),
        ("srv/releases/two/lib", "srv/releases/two/lib"),
        ("srv/currently/lib", "srv/currently/lib"),
        ("other/releases/two", "other/releases/two"),
        ("nowhere/current", "nowhere/current"),
    ],
)
def test_a_path_that_leads_through_a_link_leads_where_it_led(site: Path, path: str, leads: str) -> None:
    known = links(str(site / "current"))
    move(site / "current", "releases/two")
    move(site / "live", "releases/two")
    assert anchored(f"{site.parent}/{path}", known) == f"{site.parent}/{leads}"
    assert anchored(path, known) == path  # a relative one is relative to the working folder, which does not move


def test_a_loop_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert anchored(f"{tmp_path}/a/x", {"/elsewhere": "/"}) == f"{tmp_path}/a/x"
    assert Anchor(str(tmp_path / "a"), "/srv").links == {str(tmp_path / "a"): "/srv"}


def test_links_that_multiply_end(tmp_path: Path) -> None:
    """Each leads twice through the next: as a path that is 2 to the power of 60 folders long."""
    for number in range(60):
        (tmp_path / f"{number}").symlink_to(f"{number + 1}/../{number + 1}")
    (tmp_path / "60").mkdir()
    with pytest.raises(OSError, match="too many symbolic links"):
        links(str(tmp_path / "0"))
    assert Anchor(str(tmp_path / "0"), str(tmp_path / "60")).links == {}
    assert anchored(f"{tmp_path}/0", {"/elsewhere": "/"}) == f"{tmp_path}/0"


def test_a_link_that_was_moved_before_the_master_came_to_it_leads_where_the_generation_was_pinned(site: Path) -> None:
    one = str(site / "releases" / "one")
    move(site / "current", "releases/two")
    assert Anchor(str(site / "current"), one).links == {str(site / "current"): one}
    assert Anchor("relative", one).links == Anchor(one, one).links == Anchor("", one).links == {}


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.mark.usefixtures("imports")
def test_what_entered_by_a_link_is_found_where_it_led(site: Path) -> None:
    finder = ModuleType("__editable___x_finder")
    finder.__dict__.update(MAPPING={"x": f"{site}/current/x"}, NAMESPACES={"n": [f"{site}/current/n"]})
    package = ModuleType("package")
    package.__path__ = [f"{site}/current/package"]
    sys.modules.update({finder.__name__: finder, "package": package})
    sys.path.insert(0, f"{site}/current/lib")
    importlib.import_module("late")  # by a finder of the link's
    del sys.modules["late"]
    anchor = Anchor(f"{site}/current", f"{site}/releases/one")
    anchor.drop()
    move(site / "current", "releases/two")
    assert sys.path[0] == f"{site}/releases/one/lib"
    assert importlib.import_module("late").NAME == "one"
    assert package.__path__ == [f"{site}/releases/one/package"]
    assert vars(finder)["MAPPING"] == {"x": f"{site}/releases/one/x"} and vars(finder)["NAMESPACES"] == {
        "n": [f"{site}/releases/one/n"]
    }


@pytest.mark.usefixtures("imports")
def test_what_enters_late_is_found_there_too_and_what_knows_no_search_is_told(site: Path) -> None:
    anchor = Anchor(f"{site}/current", f"{site}/releases/one")
    anchor.drop()
    move(site / "current", "releases/two")
    sys.path.insert(0, f"{site}/current/lib")
    found = importlib.import_module("late")
    assert (found.NAME, found.__file__) == ("one", f"{site}/releases/one/lib/late.py")
    assert anchor.astray() == []
    plugin = ModuleType("plugin")
    plugin.__file__ = f"{site}/current/plugin.py"
    sys.modules["plugin"] = plugin
    assert anchor.astray() == [f"{site}/current/plugin.py"]
    assert os.path.realpath(plugin.__file__) == f"{site}/releases/two/plugin.py"
