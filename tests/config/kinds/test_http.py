"""Parts of a request and of an answer."""

import pytest

from releve.config.kinds.http import check_header, parse_expect, parse_host, parse_prefix, parse_target


def test_expected_statuses() -> None:
    assert parse_expect("200-299, 404") == (range(200, 300), range(404, 405))
    for bad in ("", "200-", "99", "600", "200,,201", "20x", "300-200"):
        with pytest.raises(ValueError):
            parse_expect(bad)


@pytest.mark.parametrize("prefix", ["", "/api", "/a/b", "/größe"])
def test_a_prefix_is_kept_as_it_is_written(prefix: str) -> None:
    assert parse_prefix(prefix) == prefix


@pytest.mark.parametrize(
    ("prefix", "why"),
    [
        ("/", "the prefix for all paths is ''"),
        ("api/", "write /api"),
        ("/a//b/", "write /a/b"),
        ("/api/", "write /api"),
        ("/a%20b", "write /a b"),
        ("/a?b", "no control characters"),
        ("/a/../b", "no segment . or .."),
    ],
)
def test_another_prefix_is_refused_with_the_right_one(prefix: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_prefix(prefix)


def test_a_target_and_a_host() -> None:
    assert parse_target("/up?x=1", {}) == "/up?x=1"
    assert [parse_host(host, {}) for host in ("a.example:80", "[::1]:80")] == ["a.example:80", "[::1]:80"]
    for bad, why in (("up", "write /up"), ("up x", "such as /healthz"), ("/a b", "write them as %20")):
        with pytest.raises(ValueError, match=why):
            parse_target(bad, {})
    with pytest.raises(ValueError, match="expected a host name"):
        parse_host("http://a", {})


def test_a_header_field_that_a_check_may_not_send() -> None:
    check_header("X-A", "b")
    for name, value, why in (
        ("Host", "a", "use host"),
        ("Connection", "a", "the check sets it"),
        ("X A", "a", "name of a header"),
    ):
        with pytest.raises(ValueError, match=why):
            check_header(name, value)
    with pytest.raises(ValueError, match="control characters"):
        check_header("X-A", "b\r\nX-B: c")
