"""The manual page of the command ``releve``, rendered from its parser and from the tables that it acts by.

``python -m releve.pages.manual_releve PAGE`` writes it; a test compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

from releve import __version__
from releve.pages import operations as reference
from releve.pages import roff
from releve.server.shared.runtime import SOCKET_NAME
from releve.supervisor import cli
from releve.supervisor.supervisor import SIGNALS

STATUSES = (
    (0, "stopped on request"),
    (1, "unexpected error; also: another supervisor already runs this service"),
    (2, "usage or configuration error; a restart does not help"),
    (4, "the first generation did not start"),
)
VARIABLES = (
    ("RELEVE_*", "One variable for each setting: `RELEVE_WORKERS`, `RELEVE_TIMEOUTS_DRAIN`."),
    (
        "PORT, WEB_CONCURRENCY",
        "The port to listen on and the number of workers, as platforms set them. The log says so if they are used.",
    ),
    ("RUNTIME_DIRECTORY, STATE_DIRECTORY", "Set by systemd: where the control socket and the history are."),
    ("LISTEN_FDS", "Sockets that systemd passes on; `listen: fd:NAME` takes one."),
    ("NOTIFY_SOCKET, WATCHDOG_USEC", "Set by systemd: where the supervisor reports its state."),
)
FILES = (
    ("./releve.yaml", "The configuration, if neither -c nor APP is given."),
    (
        f"$RUNTIME_DIRECTORY/{SOCKET_NAME}",
        (
            "The control socket, where `ctl` finds the supervisor. Open to root, the user of the "
            "supervisor and `control_group`."
        ),
    ),
    ("$STATE_DIRECTORY", "The history of the attempts."),
)


def manual() -> str:
    """The text of ``releve.1``, as roff."""
    plain = cli.command("releve", cli.SUMMARY)
    common = {roff.same(option) for option in roff.declared(plain)}
    commands = [line for name, one in cli.commands().items() for line in roff.entry(["releve", name], one, common)]
    signals = [
        (roff.bold(number.name), roff.prose(_does(verb, arguments))) for number, (verb, arguments) in SIGNALS.items()
    ]
    return roff.page(
        "releve",
        1,
        "serve a WSGI application, and upgrade it without downtime",
        __version__,
        [
            ("SYNOPSIS", _synopsis()),
            ("DESCRIPTION", _description()),
            (
                "COMMANDS",
                [
                    roff.prose(
                        "These do not start the service. `check`, `doctor` and `systemd-unit` also "
                        "take the options below."
                    ),
                    *commands,
                ],
            ),
            ("OPTIONS", roff.options(plain)),
            ("SIGNALS", [roff.prose("To the supervisor, whose pid never changes:"), *roff.terms(signals)]),
            ("EXIT STATUS", roff.terms((roff.bold(str(status)), roff.prose(text)) for status, text in STATUSES)),
            ("ENVIRONMENT", roff.terms((roff.bold(name), roff.prose(text)) for name, text in VARIABLES)),
            ("FILES", roff.terms((roff.italic(path), roff.prose(text)) for path, text in FILES)),
            ("EXAMPLE", roff.example("releve -w 3 hello:app\nreleve check -c releve.yaml\nreleve -c releve.yaml")[1:]),
            ("SEE ALSO", roff.see("ctl(1)", "releve.yaml(5)", "systemd.service(5)")),
        ],
    )


def _synopsis() -> list[str]:
    rest = f"[{roff.italic('OPTION')}]... [{roff.bold('-c')} {roff.italic('FILE')}] [{roff.italic('APP')}]"
    lines = [roff.synopsis(["releve"], rest), *(roff.synopsis(["releve", name], rest) for name in cli.CONFIGURED)]
    lines.append(
        roff.synopsis(
            ["releve", "import"], f"[{roff.italic('OPTION')}]... [{roff.italic('FILE')}] [{roff.italic('APP')}]"
        )
    )
    lines.append(roff.synopsis(["releve", "init"], f"[{roff.italic('OPTION')}]... [{roff.italic('APP')}]"))
    lines.append(roff.synopsis(["releve", "schema"], ""))
    return "\n.br\n".join(lines).split("\n")


def _description() -> list[str]:
    return roff.paragraphs(
        "`releve` is a supervisor with a server built in: it starts a generation of the application "
        "APP (`module:object`), a fresh "
        "interpreter with its workers. On request it replaces it with another one, without losing a request.",
        "All other settings are in a YAML file; see `releve.yaml`(5). Without -c "
        "and APP, ./releve.yaml is used if it "
        "exists. An option overrides the file.",
        "The interpreter of a generation is that of the release: .venv/bin/python of its folder, if "
        "there is one. Relève does not have to be installed there. `ctl`(1) controls a running service.",
    )


def _does(verb: str, arguments: dict[str, object]) -> str:
    if arguments.get("hurry"):
        return f"Like `ctl {verb}`; a second one ends the wait of `timeouts.pre_stop`."
    words = "".join(
        f" --{key}" if value is True else f" {value}" for key, value in arguments.items() if key not in reference.UNSAID
    )
    return f"Like `ctl {verb}{words}`."


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(manual(), encoding="utf-8")
