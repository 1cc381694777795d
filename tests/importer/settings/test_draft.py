"""What a site has become so far."""

from releve.importer.gunicorn.gunicorn import defaults, give
from releve.importer.settings.draft import Draft, seconds_text, within
from releve.importer.settings.site import Site


def draft(**given: object) -> Draft:
    values = defaults()
    for name, value in given.items():
        give(values, name, value, "the file")
    return Draft(Site(values, "/srv"))


def test_a_value_that_was_given_is_written_with_its_origin() -> None:
    made = draft(threads=8)
    made.put("threads", 8, of="threads")
    assert (made.entries["threads"].value, made.entries["threads"].comment) == (8, "threads, the file")


def test_one_that_nobody_gave_only_where_ours_is_another() -> None:
    made = draft()
    made.put("limits.backlog", 2048, of="backlog")
    made.put("workers", 1, of="workers")
    assert list(made.entries) == ["workers"]
    assert made.entries["workers"].comment == "gunicorn's default of workers; Relève's is 2"


def test_a_remark_says_what_it_is_about() -> None:
    made = draft(certfile="/x.pem")
    made.remark("certfile", "no.")
    assert made.remarks == {"certfile": "certfile = '/x.pem' (the file): no."}


def test_what_ours_does_not_take_is_the_nearest_that_it_takes() -> None:
    assert [within("workers", number) for number in (0, 5, 9999)] == [1, 5, 256]
    assert [seconds_text(seconds) for seconds in (0, 90, 10**9)] == ["1ms", "90s", "7d"]
