"""Problems with their place, and the word that was probably meant."""

from releve.config.errors import ConfigError, Place, Problem, in_order, nearest


def test_a_place_shows_what_it_has() -> None:
    assert [str(Place("a.yaml", 3, 4)), str(Place("a.ini", 3)), str(Place("PORT"))] == ["a.yaml:3:4", "a.ini:3", "PORT"]


def test_problems_are_told_source_by_source_from_top_to_bottom() -> None:
    places = [Place("b", 2, 1), Place("a", 9, 9), Place("b", 1, 5), Place("b", 1, 2)]
    told = in_order(Problem(place, "x") for place in places)
    assert [str(problem.place) for problem in told] == ["b:1:2", "b:1:5", "b:2:1", "a:9:9"]
    assert str(ConfigError(told[:2])) == "b:1:2: x\nb:1:5: x"


def test_the_nearest_word() -> None:
    known = ("workers", "preload_modules")
    assert [nearest(word, known) for word in ("Worker", "preload-modules", "zzz")] == [
        "workers",
        "preload_modules",
        None,
    ]
    assert nearest("worker", known, likeness=0.99) is None
