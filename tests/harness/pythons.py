"""Other interpreters of this machine, and quick virtual environments."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path


@functools.cache
def find_python(version: str) -> str | None:
    """An interpreter of that version ("3.12"): named by RELEVE_PYTHON_3_12, on PATH, or of pyenv; None if none
    starts.
    """
    candidates = [os.environ.get(f"RELEVE_PYTHON_{version.replace('.', '_')}"), shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    if os.access(pyenv, os.R_OK | os.X_OK):  # it may be another user's
        candidates += [str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python"))]
    for candidate in candidates:
        if candidate:
            tried = subprocess.run(
                [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True
            )
            if tried.stdout.strip() == version:
                return candidate
    return None


def make_venv(python: str, folder: Path, *packages: Path) -> Path:
    """A virtual environment without pip, with folders of packages on its path; its interpreter."""
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True, capture_output=True)
    site = next(folder.glob("lib/python3.*/site-packages"))
    (site / "packages.pth").write_text("".join(f"{package}\n" for package in packages))
    return folder / "bin" / "python"


def site_packages() -> Path:
    """Where the packages of the interpreter that runs the tests are."""
    return Path(sysconfig.get_path("purelib"))


@functools.cache
def usable(python: str) -> bool:
    """Whether an interpreter is there, and of a version that Relève runs on."""
    code = "import sys; sys.exit(sys.version_info < (3, 11))"
    return Path(python).exists() and subprocess.run([python, "-c", code]).returncode == 0
