"""The commit of a work tree, by what git itself has written, and by what somebody else has."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from releve.supervisor.release.git import git_revision


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    def run(*arguments: str, cwd: Path = tmp_path) -> str:
        identity = [
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            "-c",
            "init.defaultBranch=main",
            "-c",
            "commit.gpgsign=false",
        ]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=cwd, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()

    try:
        run("init")
    except FileNotFoundError:
        pytest.skip("git is not installed")
    return run


def test_the_revision_of_a_work_tree_is_read_without_git(tmp_path: Path, git: Callable[..., str]) -> None:
    assert git_revision(str(tmp_path)) is None  # no commit yet
    git("commit", "--allow-empty", "-m", "one")
    commit = git("rev-parse", "HEAD")
    assert git_revision(str(tmp_path)) == commit
    git("worktree", "add", "linked", "-b", "other")
    git("commit", "--allow-empty", "-m", "two", cwd=tmp_path / "linked")
    assert git_revision(str(tmp_path / "linked")) == git("rev-parse", "other") != commit
    git("pack-refs", "--all")
    assert git_revision(str(tmp_path)) == commit
    assert git_revision(str(tmp_path / "linked")) == git("rev-parse", "other")
    git("checkout", "--detach", "other^0")
    assert git_revision(str(tmp_path)) == git("rev-parse", "HEAD")


def test_a_folder_without_git_and_a_broken_one_have_no_revision(tmp_path: Path) -> None:
    assert git_revision(str(tmp_path)) is None
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(b"ref: refs/heads/gone\n")
    assert git_revision(str(tmp_path)) is None
    (tmp_path / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert git_revision(str(tmp_path)) is None


@pytest.mark.parametrize("ref", ["{outside}", "refs/../../outside", "refs/heads/.hidden", "heads/main"])
def test_a_revision_is_looked_up_nowhere_else(tmp_path: Path, ref: str) -> None:
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "heads").mkdir()
    for file in (
        outside := tmp_path / "outside",
        git / "outside",
        git / "refs" / "heads" / ".hidden",
        git / "heads" / "main",
    ):
        file.write_text("a" * 40)
    (git / "HEAD").write_text(f"ref: {ref.format(outside=outside)}\n")
    assert git_revision(str(tmp_path)) is None


def test_of_a_file_without_end_only_the_beginning_is_read(tmp_path: Path) -> None:
    git = tmp_path / ".git"
    git.mkdir()
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    with open(git / "packed-refs", "wb") as file:
        file.truncate(1 << 40)  # 1 TiB, in one line: read whole, it would be our end
    assert git_revision(str(tmp_path)) is None
