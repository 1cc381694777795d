"""A value of ours is what the library's would be."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from releve.config import frozen


@frozen.dataclass(frozen=True, slots=True)
class Ours:
    """A value."""

    name: str
    size: int = 1
    place: str = dataclasses.field(default="", compare=False)
    words: list[str] = dataclasses.field(default_factory=list, repr=False, compare=False)

    def __str__(self) -> str:
        return self.name


@frozen.dataclass(frozen=True, slots=True)
class Nothing:
    """No field at all."""


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """The same."""

    name: str
    size: int = 1
    place: str = dataclasses.field(default="", compare=False)
    words: list[str] = dataclasses.field(default_factory=list, repr=False, compare=False)


def test_it_compares_and_shows_itself_as_the_librarys_does() -> None:
    for made in (Ours, Theirs):
        assert made("a", place="x") == made("a", 1, "y") != made("a", 2)
        assert hash(made("a", place="x")) == hash(made("a"))
        assert len({made("a"), made("a", words=["b"]), made("b")}) == 2
    assert repr(Ours("a", 2)) == repr(Theirs("a", 2)).replace("Theirs", "Ours") == "Ours(name='a', size=2, place='')"
    assert str(Ours("a")) == "a"
    other: object = Theirs("a")
    assert Ours("a") != other
    assert Nothing() == Nothing() and len({Nothing(), Nothing()}) == 1 and repr(Nothing()) == "Nothing()"


@pytest.mark.parametrize(
    "made", [Ours("a"), copy.copy(Ours("a")), copy.deepcopy(Ours("a")), pickle.loads(pickle.dumps(Ours("a")))]
)
def test_nothing_changes_it(made: Any) -> None:
    for name in ("name", "size", "words", "other"):
        with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
            setattr(made, name, "b")
    with pytest.raises(dataclasses.FrozenInstanceError):
        del made.name
    assert made == Ours("a") and dataclasses.asdict(made) == {"name": "a", "size": 1, "place": "", "words": []}
    assert not hasattr(made, "__dict__")


def test_another_one_is_made_of_it() -> None:
    assert dataclasses.replace(Ours("a", 2, "x"), name="b") == Ours("b", 2)
    with pytest.raises(TypeError):
        Ours()  # type: ignore[call-arg]


def test_what_is_not_frozen_is_the_librarys() -> None:
    @frozen.dataclass(slots=True)
    class Open:
        name: str

    one = Open("a")
    one.name = "b"
    assert one == Open("b")
