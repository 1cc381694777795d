"""The environment of a generation: made once, at its start, of the supervisor's own, ``env_file`` and ``env``.

The supervisor was started in some environment: an activated one perhaps, of the release of that day. Whatever a later
release starts by name (``python``, a tool) must be its own.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable, Mapping

from releve.config import kernel
from releve.config.errors import ConfigError
from releve.config.reading.env_file import read_env_file
from releve.config.settings.settings import Settings
from releve.instance import paths
from releve.server.shared import anchor
from releve.supervisor.host.environment import strip
from releve.supervisor.release.errors import ReleaseError, reason_of
from releve.supervisor.release.interpreter import VENV_FOLDERS, own_python

_OF_AN_ENVIRONMENT = ("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "__PYVENV_LAUNCHER__")
_SEARCHED = ("PATH", "PYTHONPATH")  # what programs, and modules of children, are found by


def make_environment(
    settings: Settings,
    base: Mapping[str, str],
    resolved: str,
    python: str,
    account: pwd.struct_passwd | None = None,
    variables: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The environment of a generation: the supervisor's at its start, with the release's virtual environment;
    ``env_file``; ``env``.

    ``variables``: what ``env_file`` says, if it was read before. Raises ReleaseError with step ``environment``.
    """
    environment = strip(base)
    _leave(environment, resolved)
    if python != own_python():
        environment.pop("PYTHONHOME", None)
    _enter(environment, python)
    if account is not None:
        environment |= {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}
    if settings.watch == "code":
        # A saved file of the same size in the same second would be taken for its cached bytecode (importlib compares
        # whole seconds).
        environment.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    environment |= (
        read_variables(settings.env_file, None if account is None else account.pw_uid)
        if variables is None
        else variables
    )
    environment |= settings.env
    _anchor(environment, settings.directory, resolved)
    environment.pop("OLDPWD", None)
    environment["PWD"] = resolved
    if (reason := kernel.environment_objection(environment)) is not None:
        raise ReleaseError("environment", f"cannot start a program with this environment: {reason}")
    return environment


def read_variables(path: str | None, uid: int | None) -> dict[str, str]:
    """What an ``env_file`` says; nothing without one. Raises ReleaseError with step ``environment``.

    ``uid``: whom the variables are for; None: this user, who may read what it reads anyway.
    """
    if path is None:
        return {}

    def opener(name: str, _flags: int) -> int:
        # A link that the application's user can have made leads to nothing that is not that user's own.
        return paths.open_regular(name, also_of=uid)

    try:
        return dict(read_env_file(path, None if uid is None else opener))
    except ConfigError as error:
        raise ReleaseError("environment", str(error)) from error
    except (OSError, UnicodeError) as error:
        raise ReleaseError("environment", f"cannot read {path}: {reason_of(error)}; change env_file") from error


def first(folder: str, path: str | None) -> str:
    """A search path with a folder at its beginning."""
    entries = (os.defpath if path is None else path).split(":")
    return ":".join([folder, *(entry for entry in entries if entry != folder)])


def _leave(environment: dict[str, str], resolved: str) -> None:
    """Take the starter's virtual environment out, and what is of the release that it belongs to, where that is another
    one's.
    """
    homes = [environment.get("VIRTUAL_ENV", ""), sys.prefix if sys.prefix != sys.base_prefix else ""]
    homes = [home for home in homes if home]
    folders = {
        path for home in homes for path in (os.path.join(home, "bin"), os.path.realpath(os.path.join(home, "bin")))
    }
    others = {release for home in homes if (release := _release_of(home)) and release != resolved}
    others = {one for one in others if os.path.dirname(one) == os.path.dirname(resolved)}

    def stays(entry: str) -> bool:
        real = os.path.realpath(entry)
        return (
            entry.rstrip("/") not in folders
            and real not in folders
            and not any(real.startswith(f"{one}/") for one in others)
        )

    for name in _OF_AN_ENVIRONMENT:
        environment.pop(name, None)
    for name in _SEARCHED:
        _filter(environment, name, stays)


def _enter(environment: dict[str, str], python: str) -> None:
    """Put the virtual environment of an interpreter first, if it is of one."""
    folder = os.path.dirname(python)
    home = os.path.dirname(folder)
    if os.path.isfile(os.path.join(home, "pyvenv.cfg")):
        environment["VIRTUAL_ENV"] = home
        environment["PATH"] = first(folder, environment.get("PATH"))


def _anchor(environment: dict[str, str], directory: str, resolved: str) -> None:
    """Have what leads through the links of the release's folder lead where they lead now, whatever becomes of them."""
    links = anchor.Anchor(directory, resolved).links
    for name in _SEARCHED:
        if name in environment:
            environment[name] = ":".join(anchor.anchored(entry, links) for entry in environment[name].split(":"))


def _release_of(home: str) -> str:
    """The folder of the release that has a virtual environment in it; empty where it stands for itself."""
    folder, name = os.path.split(os.path.realpath(home))
    return folder if name in VENV_FOLDERS else ""


def _filter(environment: dict[str, str], name: str, stays: Callable[[str], bool]) -> None:
    if name not in environment:
        return
    kept = [entry for entry in environment[name].split(":") if not entry or stays(entry)]
    if any(kept):
        environment[name] = ":".join(kept)
    else:
        del environment[name]
