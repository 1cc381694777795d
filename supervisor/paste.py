"""PasteDeploy's side of us: ``[server:main] use = egg:releve#main``, as ``pserve production.ini`` runs it.

The process that called becomes the supervisor, by exec: no code of the application stays in it, its pid stays the same.
What was loaded here is given up; each generation loads the application of the file anew, and reads the section anew.
"""

from __future__ import annotations

import argparse
import atexit
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from releve.config.errors import ConfigError
from releve.config.reading.load import load
from releve.config.reading.sections import LAUNCHER, Names, read_section
from releve.instance.instances import absolute, working_folder
from releve.instance.protocol import Status

Application = Callable[..., Iterable[bytes]]


class Refused(Exception):
    """It cannot be served so; the text says why."""


def serve(_app: Application, global_conf: Mapping[str, str], **local_conf: str) -> NoReturn:
    """``paste.server_runner``: become the supervisor of the application that the file makes.

    What cannot be used ends the process with status 2, after a word on it: pserve would make a SystemExit a success.
    """
    try:
        command = _command(global_conf, local_conf, sys.argv[1:])
    except (Refused, ConfigError) as error:
        print(error, file=sys.stderr)
        command = []
    atexit._run_exitfuncs()  # this is the end of what the application began here
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    if not command:
        os._exit(Status.USAGE)
    os.execv(sys.executable, command)


def factory(global_conf: Mapping[str, str], **local_conf: str) -> Callable[[Application], NoReturn]:
    """``paste.server_factory``: a server, which ``serve`` does when it is called."""
    return lambda app: serve(app, global_conf, **local_conf)


def _command(global_conf: Mapping[str, str], local_conf: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
    """The command line of the supervisor. Raises Refused or ConfigError."""
    told = global_conf.get("__file__")
    if not told or not os.path.isfile(told):
        raise _refused(
            "no PasteDeploy file is named (__file__), and each generation reads one; start it by pserve FILE.ini"
        )
    if _reloading():
        raise _refused(
            "pserve --reload restarts the whole server; drop it and write `watch = code` in the server's section"
        )
    named, server, app = _named(arguments, told)
    path = absolute(named, working_folder(os.environ))
    given = _given(global_conf)
    section = read_section(path, Names(server, app, given))
    of_the_file = {*section.shared.items(), *section.additions.items()}
    names = Names(server, app, tuple(pair for pair in given if pair not in of_the_file))
    said = read_section(path, names).texts
    differing = sorted(key for key in {*said, *local_conf} if said.get(key) != local_conf.get(key))
    if differing:
        what = ", ".join(differing)
        raise _refused(
            f"[server:{server}] of {path} differs from what was given for {what}; choose the section: --server-name "
            "NAME"
        )
    load(path, names=names)  # says what is wrong with it
    # the name of the server also says that it is a PasteDeploy file, whatever its ending
    return [
        sys.executable,
        "-P",
        "-m",
        "releve",
        "-c",
        str(path),
        "--server-name",
        server,
        *Names("main", app, names.variables).flags(),
    ]


def _named(arguments: Sequence[str], told: str) -> tuple[str, str, str]:
    """The file, the server and the application as the command line of pserve (or one like it) names them.

    The names are not handed on to a server. The file is: ``told``; but the command line may name it through a link.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-n", "--app-name")
    parser.add_argument("--server-name")
    parser.add_argument("words", nargs="*")
    try:
        found, _ = parser.parse_known_intermixed_args(list(arguments))
    except argparse.ArgumentError:
        return told, "main", "main"
    for word in found.words:
        file, _, fragment = word.rpartition("://")[2].partition("#")
        file = file.partition("?")[0]
        with suppress(OSError, ValueError):
            if os.path.samefile(file, told):
                name = fragment.partition("?")[0] or "main"
                return file, found.server_name or name, found.app_name or name
    return told, "main", "main"


def _given(global_conf: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What may be variables: the file's own place is none of them, and what every launcher says need not be said."""
    own = {"here": global_conf.get("here"), "__file__": global_conf.get("__file__"), **LAUNCHER}
    return tuple((name, value) for name, value in global_conf.items() if own.get(name) != value)


def _reloading() -> bool:
    hupper = sys.modules.get("hupper")
    return hupper is not None and bool(hupper.is_active())


def _refused(reason: str) -> Refused:
    return Refused(f"cannot serve by PasteDeploy: {reason}")
