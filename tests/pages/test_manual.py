"""The manual pages: as the code has it, and without a complaint by what shows them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from releve.config.settings.settings import key_names
from releve.ctl.main import ctl
from releve.pages import manual_ctl as of_ctl
from releve.pages import manual_releve as of_releve
from releve.pages import manual_yaml as of_the_file
from releve.pages import roff
from releve.supervisor import cli

FOLDER = Path(__file__).parent.parent.parent / "docs" / "man"
PAGES = {"releve.1": of_releve.manual, "ctl.1": of_ctl.manual, "releve.yaml.5": of_the_file.manual}
# a page that is rendered from the code has the code's version, and no date
DATELESS = re.compile(r'WARNING: missing date, using ""')


def shown(page: str) -> str:
    """The page as a person reads it, without bold."""
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("man and groff are not installed")
    environ = {**os.environ, "MANWIDTH": "300", "LC_ALL": "C.UTF-8", "MANROFFOPT": "-c", "MAN_KEEP_FORMATTING": ""}
    done = subprocess.run(
        ["man", "--warnings", "-l", "-Tutf8", FOLDER / page],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return re.sub(r".\x08|\x1b\[[0-9;]*m", "", done.stdout)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_up_to_date(page: str) -> None:
    assert (FOLDER / page).read_text("utf-8") == PAGES[page](), "make docs renews it"


def test_a_key_stands_as_it_is_written() -> None:
    assert "\\fBfor\\fR\n" in of_the_file.manual(), "not for_, which the file may not have"


@pytest.mark.parametrize("page", PAGES)
def test_man_shows_a_page_without_warnings(page: str) -> None:
    assert "SEE ALSO" in shown(page)


@pytest.mark.parametrize("page", PAGES)
def test_mandoc_has_nothing_to_say(page: str) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    said = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", FOLDER / page],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert [line for line in said.stdout.splitlines() if not DATELESS.search(line)] == []


def test_every_verb_and_every_option_is_shown() -> None:
    text = shown("ctl.1")
    for name, verb in ctl.commands.items():
        assert f"ctl {name}" in text
        assert [word for option in roff.declared(verb) for word in option.opts if word not in text] == []


def test_every_flag_and_command_of_releve_is_shown() -> None:
    text = shown("releve.1")
    assert [
        word for option in roff.declared(cli.command("releve", "")) for word in option.opts if word not in text
    ] == []
    assert [name for name in cli.SUBCOMMANDS if f"releve {name}" not in text] == []


def test_every_setting_is_shown() -> None:
    text = shown("releve.yaml.5")
    assert [name for name in key_names() if f" {name}\n" not in text and f" {name} " not in text] == []


@pytest.mark.parametrize(
    "odd", [".hidden", "'quoted'", 'a "b"', "back\\slash", "-x --long", "~/.venv ^ `", "\\fBnot bold\\fR"]
)
def test_nothing_in_a_text_has_a_meaning(odd: str, tmp_path: Path) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    page = roff.page(
        "odd", 1, "a page", "1", [("TEXT", roff.paragraphs(odd.replace("`", ""))), ("SHOWN", roff.example(odd))]
    )
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Kutf8", "-Tutf8", "-P-c"],
        input=page,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    seen = re.sub(r".\x08", "", done.stdout)
    assert odd in seen and " ".join(odd.replace("`", "").split()) in seen
