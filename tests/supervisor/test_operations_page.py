"""docs/operations.md shows the tables that the code acts by."""

from pathlib import Path

from releve.supervisor import protocol, reference

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text("utf-8")
    assert reference.renew(page) == page, "python -m releve.supervisor.reference docs/operations.md renews it"


def test_every_table_is_on_the_page() -> None:
    page = PAGE.read_text("utf-8")
    for render in reference.TABLES.values():
        assert render() in page


def test_every_verb_is_explained() -> None:
    page = PAGE.read_text("utf-8")
    assert [verb for verb in protocol.VERBS if f"| `ctl {verb}" not in page] == []
