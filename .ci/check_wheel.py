"""Is the wheel what it should be: everything below ``releve``, every package in it, the schema, the units, the manual
and the completions?

python .ci/check_wheel.py dist/releve-*.whl
"""

import sys
import tomllib
import zipfile
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
PACKAGES = [name.replace(".", "/") for name in PROJECT["tool"]["setuptools"]["packages"]]
SHARED = (
    "releve/releve.schema.json",
    "releve/systemd/releve.service",
    "releve/systemd/releve@.service",
    "releve/systemd/releve.socket",
    "man/man1/releve.1",
    "man/man1/ctl.1",
    "man/man5/releve.yaml.5",
    "bash-completion/completions/releve",
    "bash-completion/completions/ctl",
    "zsh/site-functions/_releve",
    "zsh/site-functions/_ctl",
    "fish/vendor_completions.d/releve.fish",
    "fish/vendor_completions.d/ctl.fish",
)


def problems(names: list[str]) -> list[str]:
    """What is wrong with a wheel that holds these paths."""
    found = [f"{name}: outside of releve" for name in names if not name.startswith(("releve/", "releve-"))]
    found += [f"{name}: not for a wheel" for name in names if name.endswith((".pyc", ".so", ".c", ".orig", ".rej"))]
    found += [f"{package}: missing" for package in PACKAGES if f"{package}/__init__.py" not in names]
    found += [
        f"share/{path}: missing"
        for path in SHARED
        if not any(name.endswith(f".data/data/share/{path}") for name in names)
    ]
    if "releve/py.typed" not in names:
        found.append("releve/py.typed: missing")
    return found


def main(paths: list[str]) -> int:
    """Check each wheel; the exit status is 1 if one is wrong."""
    status = 0
    for path in paths or [""]:
        with zipfile.ZipFile(path) as wheel:
            for problem in problems(wheel.namelist()):
                print(f"{path}: {problem}", file=sys.stderr)
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
