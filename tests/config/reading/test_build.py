"""What settings are to each other, and a configuration as a whole: refused with every problem, in order."""

import re
from pathlib import Path

import pytest

from harness.configurations import loaded, refused
from releve.config.errors import ConfigError

BAD: dict[str, tuple[str | bytes, list[str]]] = {
    "empty": (
        "",
        ["releve.yaml: cannot start without app, the application to serve: write app: mysite.wsgi:application"],
    ),
    "only a comment": (
        "# nothing\n",
        ["releve.yaml: cannot start without app, the application to serve: write app: mysite.wsgi:application"],
    ),
    "no app": (
        "workers: 3",
        ["releve.yaml: cannot start without app, the application to serve: write app: mysite.wsgi:application"],
    ),
    "app is empty": ("app:", ["releve.yaml:1:5: cannot use an empty value as app: it is required"]),
    "a list": (
        "- app",
        ["releve.yaml:1:1: cannot use a list as a configuration: expected keys, such as app: mysite.wsgi:application"],
    ),
    "a word": (
        "hello",
        ["releve.yaml:1:1: cannot use 'hello' as a configuration: expected keys, such as app: mysite.wsgi:application"],
    ),
    "several problems in order": (
        "watch: of\nthreads: x\napp: a\n",
        [
            "releve.yaml:1:8: cannot use 'of' as watch: did you mean 'off'?",
            "releve.yaml:2:10: cannot use 'x' as threads: expected a whole number",
            "releve.yaml:3:6: cannot use 'a' as app: the object is missing; write a:application",
        ],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_whole_that_is_refused(tmp_path: Path, name: str) -> None:
    text, problems = BAD[name]
    assert refused(tmp_path, text) == problems


@pytest.mark.parametrize(
    ("limits", "why"),
    [("spool: off", "which is off; leave it out"), ("spool: 1MiB", "which is 1048576 bytes; raise that")],
)
def test_chunked_bodies_need_room_in_files(tmp_path: Path, limits: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"3:1: cannot use 2097152 bytes as request.buffer_chunked: .*{why}"):
        loaded(tmp_path, f"app: a:b\nlimits: {{{limits}}}\nrequest: {{buffer_chunked: 2MiB}}")


def test_settings_must_fit_into_one_message_of_the_link(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, f"app: a:b\nenv: {{X: {'x' * 70_000}, Y: {'y' * 70_000}}}")
    assert re.fullmatch(
        r"releve.yaml: cannot use 14\d{4} bytes of settings: at most 131072; long variables can move .*", problem
    )
