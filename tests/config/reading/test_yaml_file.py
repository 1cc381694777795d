"""YAML: what is refused, with which words and at which place; and what an alias is."""

from pathlib import Path

import pytest

from harness.configurations import loaded, refused

BAD: dict[str, tuple[str | bytes, list[str]]] = {
    "two documents": (
        "app: a:b\n---\napp: a:b",
        [
            (
                "releve.yaml:2:1: cannot read it as YAML: expected a single document in the stream but "
                "found another document"
            )
        ],
    ),
    "an open bracket": (
        "app: a:b\nlisten: [x\n",
        ["releve.yaml:3:1: cannot read it as YAML: expected ',' or ']', but got '<stream end>'"],
    ),
    "a tab": (
        "app: a:b\nlimits:\n\tbody: 1\n",
        [
            "releve.yaml:3:1: cannot read it as YAML: found character '\\t' that cannot start any token"
            " (YAML is indented with spaces, not tabs)"
        ],
    ),
    "v6 without quotes": (
        "app: a:b\nlisten: [::1]:80\n",
        [
            (
                "releve.yaml:2:10: cannot read it as YAML: expected the node content, but found ':' (an "
                "IPv6 address needs quotes: '[::1]:8000')"
            )
        ],
    ),
    "a star without quotes": (
        "app: a:b\nlisten: *:80\n",
        [
            "releve.yaml:2:10: cannot read it as YAML: expected alphabetic or numeric character, but found ':'"
            " (a word that begins with * needs quotes)"
        ],
    ),
    "no space after a colon": (
        "app: a:b\nworkers:2\nthreads: 3",
        [
            (
                "releve.yaml:3:1: cannot read it as YAML: could not find expected ':' (a space is needed "
                "after the colon of a key)"
            )
        ],
    ),
    "a control character": (
        "app: a:b\nwor\x07kers: 2",
        ["releve.yaml:2:4: cannot read it as YAML: U+0007 is not allowed in it"],
    ),
    "too deep": ("app: " + "[" * 5000, ["releve.yaml: cannot read it as YAML: it is nested too deeply"]),
    "a key twice": (
        "app: a:b\nworkers: 1\nworkers: 2",
        ["releve.yaml:3:1: cannot use 'workers' twice: it is on line 2 already"],
    ),
    "a key twice below": (
        "app: a:b\nenv: {A: 1, A: 2}",
        ["releve.yaml:2:13: cannot use 'A' twice: it is on line 2 already"],
    ),
    "a tag": (
        "app: !!python/name:os.system x",
        ["releve.yaml:1:6: cannot use the tag '!!python/name:os.system': tags have no meaning here"],
    ),
    "a merge key": ("x: &x {a: b}\n<<: *x", ["releve.yaml:2:1: cannot merge with <<: write the keys out"]),
    "a list as key": ("? [a, b]\n: c", ["releve.yaml:1:3: cannot use a list or block as a key"]),
    "an alias of itself": (
        "app: a:b\nenv: &e {A: *e}",
        ["releve.yaml:2:10: cannot use an alias inside the node that it names"],
    ),
    "an unknown alias": (
        "app: *x",
        ["releve.yaml:1:6: cannot read it as YAML: found undefined alias 'x' (a word that begins with * needs quotes)"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_yaml_that_is_refused(tmp_path: Path, name: str) -> None:
    text, problems = BAD[name]
    assert refused(tmp_path, text) == problems


def test_an_anchor_is_read_where_its_alias_stands(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "app: a:b\ntimeouts: {body: &patience 7s, write: *patience}")
    assert settings.timeouts.body == settings.timeouts.write == 7.0


def test_aliases_of_aliases_cost_nothing(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    assert len(refused(tmp_path, "app: a:b\n" + "\n".join(lines))) == 60
