"""What is installed, and what the repository says about itself."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import releve
from releve.instance import protocol

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
FOLDERS = PROJECT["tool"]["setuptools"]["package-dir"]
README = (ROOT / "README.md").read_text()
MACHINE = re.compile(r"(?<![\w.})])/(?:work|root|farm|tmp/(?:rv|brief|bash_jobs))/")
PAGES = sorted(path for path in ROOT.rglob("*.md") if not {part for part in path.parts if part.startswith(".")})


def tracked() -> list[Path]:
    """The files of the repository: git's list, or where there is no git, all but what tools leave."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [ROOT / name for name in listed.stdout.splitlines()]
    else:
        names = [path for path in ROOT.rglob("*") if "__pycache__" not in path.parts and ".venv" not in path.parts]
    return [path for path in names if path.is_file() and not path.is_symlink()]


def test_every_folder_with_code_is_a_package_of_the_wheel() -> None:
    found = {"releve"}
    for top in ("config", "ctl", "importer", "instance", "pages", "server", "supervisor"):
        for init in (ROOT / top).rglob("__init__.py"):
            found.add("releve." + ".".join(init.parent.relative_to(ROOT).parts))
    assert set(PACKAGES) == found
    assert {package for package in found if package.count(".") < 2} == set(FOLDERS), "those below follow their parents"


def test_the_view_for_type_checkers_shows_every_package() -> None:
    view = ROOT / ".typing" / "releve"
    for package, folder in FOLDERS.items():
        if package != "releve":
            assert (view / package.removeprefix("releve.")).resolve() == (ROOT / folder).resolve()
    assert (view / "__init__.py").resolve() == ROOT / "src" / "releve" / "__init__.py"


def test_the_version_is_said_in_one_place() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "releve.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", releve.__version__)
    assert f"## {releve.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("script", ["releve", "ctl"])
def test_the_commands_exist(script: str) -> None:
    module, function = PROJECT["project"]["scripts"][script].split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_nothing_of_ours_has_a_bare_name(tmp_path: Path) -> None:
    names = ("config", "ctl", "importer", "instance", "pages", "server", "supervisor")
    code = f"import importlib.util as u\nfor n in {names}:\n    s = u.find_spec(n)\n    print(s and s.origin)"
    said = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert [origin for origin in said.split() if str(ROOT) in origin or "releve" in origin] == []


def check_wheel() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_wheel", ROOT / ".ci" / "check_wheel.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_check_of_the_wheel_finds_strangers_and_gaps() -> None:
    check = check_wheel()
    share = "releve-1.data/data/share/"
    good = (
        [f"{package}/__init__.py" for package in check.PACKAGES]
        + ["releve/py.typed"]
        + [share + path for path in check.SHARED]
    )
    assert check.problems([*good, "releve-1.dist-info/METADATA"]) == []
    assert check.problems([*good, "config/__init__.py"]) == ["config/__init__.py: outside of releve"]
    assert check.problems(good[1:]) == ["releve: missing"]
    assert check.problems(good[:-1]) == ["share/fish/vendor_completions.d/ctl.fish: missing"]


def test_no_path_of_a_machine_stands_in_the_repository() -> None:
    found = []
    for path in tracked():
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if MACHINE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_has_the_exit_statuses_of_ctl() -> None:
    section = README.split("## Exit statuses")[1].split("\n## ")[0]
    rows = {int(number): meaning for number, meaning in re.findall(r"^\| (\d) \| ([^|]+) \|", section, re.MULTILINE)}
    assert rows == {status.value: meaning for status, meaning in protocol.MEANING.items()}


def test_every_make_target_that_is_mentioned_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in (README, (ROOT / "CONTRIBUTING.md").read_text()):
        assert set(re.findall(r"`make ([a-z-]+)", page)) <= targets
