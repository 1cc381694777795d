"""Variables of a service: what the kernel does not take is named before anything is started, and what a reload cannot
change is said.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.service import PYTHON, Service, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With a variable in its ``env_file``, and one that ``env`` overrides."""
    folder = tmp_path_factory.mktemp("variables")
    (folder / "env").write_text("SECRET=old\nCOVERED=old\n")
    with serving(folder, env_file=str(folder / "env"), env={"COVERED": "env"}) as one:
        yield one


@pytest.fixture
def variables(service: Service) -> Iterator[Path]:
    """The file; afterwards it is as it was."""
    path = Path(service.settings["env_file"])
    before = path.read_text()
    yield path
    path.write_text(before)


def checks(service: Service) -> subprocess.CompletedProcess[str]:
    """``releve check``."""
    return subprocess.run(
        [PYTHON, "-m", "releve", "check", "-c", str(service.file)],
        env=service.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_changed_env_file_needs_an_upgrade(service: Service, variables: Path) -> None:
    """As a changed ``env`` does; what ``env`` says otherwise anyway does not."""
    variables.write_text("SECRET=old\nCOVERED=new\n")
    assert not service.ask("reload")["notes"]
    variables.write_text("SECRET=new\nADDED=1\n")
    told = service.ctl("reload")
    assert (
        f"{variables} (env_file) changed (ADDED, SECRET): it takes effect at the next ctl upgrade"
        in told.stdout + told.stderr
    )
    restarted = service.ctl("restart", "--all")
    assert "(env_file) changed (ADDED, SECRET): it takes effect at the next ctl upgrade" in restarted.stderr
    service.do("upgrade")
    assert not service.ask("reload")["notes"]
    variables.unlink()
    assert "cannot read env_file" in service.ask("reload")["notes"][0]


def test_the_next_supervisor_knows_what_env_file_said(service: Service, variables: Path) -> None:
    service.do("reexec")
    variables.write_text("SECRET=newer\n")
    assert "(env_file) changed" in service.ask("reload")["notes"][0]


def test_a_variable_that_is_too_long_is_named(service: Service, variables: Path) -> None:
    variables.write_text(f"# secrets\nBIG={'x' * 140_000}\n")
    result, checked = service.ask("upgrade"), checks(service)
    assert (result["status"], result["step"]) == (4, "environment")
    for said in (result["reason"], service.ctl("check").stdout + service.ctl("check").stderr, checked.stderr):
        assert (
            f"{variables}:2: cannot use this line: BIG has 140,004 bytes with its name, and the kernel accepts 131,071"
            in said
        )
    assert checked.returncode == 2


def test_more_addresses_than_the_kernel_passes_on_are_refused(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "many.yaml"
    file.write_text(
        f"app: app:application\nlisten: [{', '.join(f'127.0.0.1:{port}' for port in range(20_000, 20_300))}]\n"
    )
    done = subprocess.run(
        [PYTHON, "-m", "releve", "check", "-c", str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and "300 addresses exceed the limit of 240" in done.stderr


def test_variables_that_are_too_long_together_are_named(service: Service, variables: Path) -> None:
    variables.write_text("".join(f"{name}={'x' * 110_000}\n" for name in ("ONE", "TWO", "THREE")))
    command = ["prlimit", f"--stack={1 << 20}:", PYTHON, "-m", "releve", "check", "-c", str(service.file)]
    checked = subprocess.run(command, env=service.environment, capture_output=True, text=True, timeout=60)
    assert (
        checked.returncode == 2
        and "the largest are THREE, " in checked.stderr
        and "cannot start a program" in checked.stderr
    )
