"""The release: what one generation runs, resolved once, at its start.

A ``Pin`` holds the resolved directory, the interpreter and the environment, so
that every process of the generation runs the same, whatever happens to symlinks
and files since. The directory and interpreter of the settings stay literal and
are resolved here, from those paths alone: never by ``PWD`` or the working folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from releve.config.frozen import dataclass
from releve.config.settings.settings import Settings
from releve.supervisor.host.identity import Identity, IdentityError, identify
from releve.supervisor.host.policy import Bounds
from releve.supervisor.release.environment import make_environment, read_variables
from releve.supervisor.release.errors import ReleaseError
from releve.supervisor.release.git import git_revision
from releve.supervisor.release.interpreter import OUR_SERVER, choose_python, own_python, probe


@dataclass(frozen=True, slots=True)
class Pin:
    """What a generation runs, for as long as it lives."""

    directory: str  # as configured
    resolved: str  # where it led at the start of the generation
    python: str  # its folder resolved, its last name kept: the real path would lose the virtual environment
    binary: str  # the real path, for people
    app: str
    environment: dict[str, str]
    identity: Identity
    lend: bool  # the interpreter has no Relève: the supervisor lends its server
    python_version: str
    prefix: str
    releve: str | None
    preload: bool | None
    revision: str | None  # of git, where the directory is a work tree
    variables: dict[str, str] | None = None  # what `env_file` said; None: nobody has noted it


async def pin(settings: Settings, base_environ: Mapping[str, str], bounds: Bounds | None = None) -> Pin:
    """Resolve a release and look at its interpreter. Raises ReleaseError; nothing was started that stays.

    ``bounds``: what it is held to. Nothing outside is run, wherever links lead by then: what is resolved here is what
    counts.
    """
    resolved = resolve_directory(settings.directory)
    python = choose_python(settings, resolved)
    if bounds is not None and (reason := bounds.refusal(resolved, python)) is not None:
        raise ReleaseError("directory", f"permission denied: {reason}")
    try:
        identity = identify(settings.user, settings.group, settings.umask)
    except IdentityError as error:
        raise ReleaseError("environment", str(error)) from error
    variables = read_variables(settings.env_file, identity.user)
    environment = make_environment(settings, base_environ, resolved, python, identity.account, variables)
    found = await probe(python, resolved, environment, identity)
    if resolved in found.closed:
        whom = settings.user or "this user"
        raise ReleaseError(
            "directory",
            (
                f"cannot use the directory {resolved}: {whom} may not read it; change its mode, or that of "
                "a folder above it, or user"
            ),
        )
    if not found.has_server and OUR_SERVER in found.closed:
        raise ReleaseError(
            "interpreter",
            f"cannot lend Relève to {python}: {settings.user or 'this user'} may not read {OUR_SERVER}; "
            "install releve in the environment of the release, or the supervisor's where every user may read it",
        )
    return Pin(
        directory=settings.directory,
        resolved=resolved,
        python=python,
        binary=os.path.realpath(python),
        app=settings.served,
        environment=environment,
        identity=identity,
        lend=not found.has_server,
        python_version=".".join(map(str, found.version)),
        prefix=found.prefix,
        releve=found.releve,
        preload=settings.preload,
        revision=git_revision(resolved),
        variables=variables,
    )


def changed_variables(pin: Pin, settings: Settings) -> list[str]:
    """Names of the variables that `env_file` says otherwise than at the start of the generation, sorted.

    Raises ReleaseError.

    Those that `env` has are not among them: it comes first.
    """
    if pin.variables is None:  # by an older supervisor
        return []
    before, now = pin.variables, read_variables(settings.env_file, pin.identity.user)
    return sorted(
        name for name in before.keys() | now.keys() if before.get(name) != now.get(name) and name not in settings.env
    )


def without_preload(pin: Pin) -> Pin:
    """The same release, its application imported by each worker for itself."""
    return dataclasses.replace(pin, preload=False)


def resolve_directory(literal: str) -> str:
    """Where the release's directory leads now. Raises ReleaseError with step ``directory``."""
    if not os.path.isabs(literal):
        raise ReleaseError(
            "directory", f"cannot use the directory {literal!r}: it is not an absolute path; write it in full"
        )
    try:
        resolved = os.path.realpath(literal, strict=True)
        if not os.path.isdir(resolved):
            raise NotADirectoryError(20, "it is not a folder")
        if not os.access(resolved, os.R_OK | os.X_OK):
            raise PermissionError(13, "this user may not read it")
    except FileNotFoundError as error:
        gone = (
            f"it is a link to {os.readlink(literal)}, which does not exist"
            if os.path.islink(literal)
            else "it does not exist"
        )
        raise ReleaseError(
            "directory", f"cannot use the directory {literal}: {gone}; deploy the release, or change directory"
        ) from error
    except OSError as error:
        raise ReleaseError(
            "directory",
            f"cannot use the directory {literal}: {(error.strerror or str(error)).lower()}; change directory",
        ) from error
    return resolved


def real_places(settings: Settings, *more: str) -> tuple[str, ...]:
    """Where paths, the release, its interpreter and ours really are, links followed; of a release that is not there,
    nothing.
    """
    found = [*more, settings.env_file or "", own_python()]
    with contextlib.suppress(ReleaseError):
        resolved = resolve_directory(settings.directory)
        found += [resolved, choose_python(settings, resolved)]
    return tuple(dict.fromkeys(os.path.realpath(path) for path in found if path))


def release_of(pin: Pin) -> dict[str, Any]:
    """A release, as the history keeps it."""
    return {
        "directory": pin.resolved,
        "python": pin.python,
        "python_version": pin.python_version,
        "releve": pin.releve,
        "revision": pin.revision,
    }
