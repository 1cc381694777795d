"""The doctor: what is not as it should be, in the configuration, in the service and on its host, and what to do about
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict

from releve.config.grammar import counted
from releve.instance.protocol import Event, Status, result
from releve.supervisor.inspection.checks import CHECKS
from releve.supervisor.inspection.facts import Facts
from releve.supervisor.inspection.finding import OK, PROBLEM, UNKNOWN, WARNING, Finding


def examine(facts: Facts) -> list[Finding]:
    """Every finding, and an ``ok`` for each check that found nothing; the worst first."""
    found: list[Finding] = []
    for check in CHECKS:
        unknown = any(getattr(facts, name) is None for name in check.needs)
        well = (
            Finding(check.name, UNKNOWN, f"not checked: {check.words}")
            if unknown
            else Finding(check.name, OK, check.words)
        )
        found += list(check.look(facts)) or [well]
    return sorted(found, key=lambda one: (PROBLEM, WARNING, UNKNOWN, OK).index(one.severity))


def report(findings: Iterable[Finding]) -> Event:
    """The findings as a result; its status is 0, or 8 where there is a problem."""
    all_of_them = list(findings)
    problems, warnings = (sum(one.severity == severity for one in all_of_them) for severity in (PROBLEM, WARNING))
    return result(
        Status.DEGRADED if problems else Status.DONE,
        f"{counted(len(CHECKS), 'check')}: {counted(problems, PROBLEM)}, {counted(warnings, WARNING)}",
        findings=[asdict(one) for one in all_of_them],
    )


def lines(findings: Iterable[Finding]) -> Iterator[str]:
    """For people, without a terminal's help."""
    for one in findings:
        yield f"{one.severity:8} {one.check:12} {one.text}"
        if one.advice:
            yield f"{'':21} {one.advice}"
