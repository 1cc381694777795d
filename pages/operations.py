"""The tables of the pages on operating a service and on hooks, rendered from the code that acts by them.

``python -m releve.pages.operations PAGE`` renews them in place; a test compares.
"""

from __future__ import annotations

from releve.instance import protocol
from releve.pages.marked import Tables, main
from releve.supervisor.generation import states
from releve.supervisor.inspection.checks import CHECKS
from releve.supervisor.operations import hooks
from releve.supervisor.service.states import ServiceState
from releve.supervisor.supervisor import SIGNALS
from releve.supervisor.switch import probation
from releve.supervisor.verbs.admission import Admission
from releve.supervisor.verbs.verbs import FOLLOW_S, VERBS

_ADMISSION = {
    Admission.RUN: "runs",
    Admission.BUSY: "refused, 7",
    Admission.INTERRUPT: "cancels the operation first",
    Admission.FOLLOW: f"waits {FOLLOW_S:g} s for it, then cancels it",
    Admission.JOIN: "joins it",
    Admission.NOTHING: "refused, 2",
}


def signals() -> str:
    """Signals to the supervisor, and the verb that each stands for."""
    rows = [
        f"| `{number.name.removeprefix('SIG')}` | {verb} {_words(arguments)}|"
        for number, (verb, arguments) in SIGNALS.items()
    ]
    return "\n".join(["| signal | does |", "| --- | --- |", *rows])


def statuses() -> str:
    """Exit statuses of ``ctl``, and what each means."""
    rows = [f"| {int(status)} | {meaning} |" for status, meaning in protocol.MEANING.items()]
    return "\n".join(["| exit status | meaning |", "| --- | --- |", *rows])


def verbs() -> str:
    """What becomes of a verb in each state of the service."""
    columns = list(ServiceState)
    head = "| verb | " + " | ".join(state.value for state in columns) + " |"
    tables = {verb: row.when for verb, row in VERBS.items()}
    tables |= {f"{verb} --dry-run": row.when_dry for verb, row in VERBS.items() if row.when_dry is not None}
    rows = [
        f"| `{verb}` | " + " | ".join(_ADMISSION[table[state]] for state in columns) + " |"
        for verb, table in sorted(tables.items())
    ]
    return "\n".join([head, "| --- " * (len(columns) + 1) + "|", *rows])


def generations() -> str:
    """States and events of a generation."""
    rows = [f"| {state.value} | {event.value} | {after.value} |" for (state, event), after in states.GENERATION.items()]
    return "\n".join(["| a generation that is | and is | becomes |", "| --- | --- | --- |", *rows])


def rules() -> str:
    """What a generation on probation must not do."""
    rows = [f"| `{rule.name}` | {rule.words} |" for rule in probation.RULES]
    return "\n".join(["| rule | broken when |", "| --- | --- |", *rows])


def turns() -> str:
    """Hooks that are commands: when each runs, and what its failure does."""
    rows = [f"| `{name}` | {turn.when} | {turn.failing} |" for name, turn in hooks.TURNS.items()]
    return "\n".join(["| hook | runs when | its failure |", "| --- | --- | --- |", *rows])


def variables() -> str:
    """Variables that a hook's command finds in its environment."""
    rows = [f"| `{name}` | {words} |" for name, words in hooks.VARIABLES.items()]
    return "\n".join(["| variable | |", "| --- | --- |", *rows])


def checks() -> str:
    """What ``ctl doctor`` looks at, and when all is well."""
    rows = [f"| `{check.name}` | {check.words} |" for check in CHECKS]
    return "\n".join(["| check | all is well if |", "| --- | --- |", *rows])


UNSAID = ("signalled",)  # of a signal's arguments: no option of ctl

TABLES: Tables = {
    "signals": signals,
    "statuses": statuses,
    "verbs": verbs,
    "generations": generations,
    "rules": rules,
    "hooks": turns,
    "variables": variables,
    "checks": checks,
}


def _words(arguments: dict[str, object]) -> str:
    if arguments.get("hurry"):
        return "(a second one ends the wait of `timeouts.pre_stop`) "
    return "".join(
        f"--{key} " if value is True else f"{value} " for key, value in arguments.items() if key not in UNSAID
    )


if __name__ == "__main__":
    main(TABLES)
