"""Tables between marks."""

import pytest

from releve.pages.marked import renewed

PAGE = "a\n<!-- table x -->\nold\n<!-- end -->\nb\n"


def test_what_is_between_the_marks_is_renewed_and_nothing_else() -> None:
    page = renewed(PAGE, {"x": lambda: "| new |\n"})
    assert page == "a\n<!-- table x -->\n\n| new |\n\n<!-- end -->\nb\n"
    assert renewed(page, {"x": lambda: "| new |\n"}) == page


@pytest.mark.parametrize(("page", "why"), [("a", "cannot find a table"), (PAGE, "there is no such table")])
def test_a_page_without_a_place_or_with_one_for_another(page: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        renewed(page, {"y": lambda: ""})
