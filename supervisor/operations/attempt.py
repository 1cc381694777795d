"""An attempt: an operation run to its outcome, whatever happens, and kept in the history."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

from releve.config.errors import ConfigError
from releve.instance import symptoms
from releve.instance.protocol import Event, Status, result
from releve.supervisor.reporting.failure import RolledBack, StepFailed
from releve.supervisor.reporting.history import HistoryError
from releve.supervisor.reporting.log import log
from releve.supervisor.reporting.operation import Job, Operation, failure
from releve.supervisor.service.service import Service

# status of an operation -> outcome of its attempt in the history; "failed" for the others
OUTCOMES = {Status.DONE: "done", Status.DEGRADED: "done", Status.ROLLED_BACK: "rolled back"}
# of an outcome, what the history keeps
EVIDENCE = ("step", "reason", "traceback", "evidence", "notes", "phases", "figures")
# the same of one that is done, with its result in words
RESULT = ("message", *EVIDENCE)


async def perform(service: Service, operation: Operation, job: Job) -> Event:
    """Run an operation, and record it; its outcome. Raises nothing."""
    before = service.describe(service.active)
    attempt = operation.number
    log.info(
        "%s %d %s by %s", operation.verb, attempt, "resumed, started" if operation.recorded else "started", operation.by
    )
    operation.begun = True
    logged = False
    try:
        if operation.stop_reason:
            raise asyncio.CancelledError
        if not operation.recorded:
            _record(service, operation, before)
        operation.record = partial(service.history.note, attempt)
        operation.emit({"event": "attempt", "attempt": attempt})
        message = await job.does(operation)
        # a log that cannot be written says nothing against what was done
        done = Status.DEGRADED if service.condition.degraded.keys() - {"log"} else Status.DONE
        outcome = result(done, message, degraded=list(service.condition.degraded.values()))
    except (Exception, asyncio.CancelledError) as error:
        outcome = _outcome(service, operation, job.remedy.format(attempt=attempt), error, before)
        logged = isinstance(error, StepFailed) and error.logged
    outcome.update(
        verb=operation.verb,
        operation=operation.number,
        generation=service.active.number if service.active else None,
        seconds=operation.seconds,
        phases=operation.times,
        notes=operation.notes,
        figures=operation.figures,
    )
    _log(operation, {**outcome, "traceback": ""} if logged else outcome)
    if operation.recorded:
        kept = RESULT if outcome["status"] in (Status.DONE, Status.DEGRADED) else EVIDENCE
        evidence = {key: outcome[key] for key in kept if outcome.get(key)}
        words = "aborted" if outcome.get("aborted") else OUTCOMES.get(outcome["status"], "failed")
        if operation.dry and words == "done":
            words = "dry run"
        service.history.finish(attempt, words, to=service.describe(service.active), **evidence)
    return outcome


def _record(service: Service, operation: Operation, before: dict[str, Any] | None) -> None:
    entry = {"verb": operation.verb, "by": operation.by, "from": before}
    try:
        # What changes the release is refused when it cannot be recorded; what rescues never waits for the disk.
        service.history.begin(entry, rescue=operation.verb != "upgrade", number=operation.number)
    except HistoryError as error:
        raise StepFailed("record", str(error)) from error
    operation.recorded = True


def _outcome(
    service: Service, operation: Operation, remedy: str, error: BaseException, before: dict[str, Any] | None
) -> Event:
    """What a failure means to whoever asked. ``before``: what was in service when it began."""
    serving = service.serving_words()
    if (
        isinstance(error, (StepFailed, asyncio.CancelledError))
        and operation.committed
        and service.describe(service.active) != before
    ):
        return _kept(service, operation, error)
    if isinstance(error, ConfigError):
        reason = str(error)
        return result(
            Status.USAGE,
            reason,
            step="configuration",
            reason=reason,
            serving=serving,
            next="correct the file and try again",
        )
    if isinstance(error, RolledBack):
        return failure(error, Status.ROLLED_BACK, serving, remedy)
    if isinstance(error, StepFailed):
        return failure(error, Status.FAILED, serving, remedy)
    if isinstance(error, asyncio.CancelledError):
        ended = StepFailed(operation.phase, f"{operation.verb} {operation.number} interrupted: {operation.stop_reason}")
        return {
            **failure(ended, Status.ROLLED_BACK if operation.switched else Status.FAILED, serving, ""),
            "aborted": True,
        }
    log.error("%s %d failed with an unexpected error", operation.verb, operation.number, exc_info=error)
    words = f"unexpected error: {error!r}; the log has the traceback"
    if operation.committed and service.describe(service.active) != before:  # what was to be done is done, and stays
        return result(Status.DEGRADED, f"{serving}; after its commit, {words}", reason=words, degraded=[words])
    return result(Status.UNEXPECTED, words, serving=serving)


def _kept(service: Service, operation: Operation, error: BaseException) -> Event:
    """It has failed, but there was no way back: what has failed is committed, and serves."""
    words = list(service.condition.degraded.values())
    told = {"step": operation.phase, "reason": operation.stop_reason, "evidence": {}}
    if isinstance(error, StepFailed):
        told = {"step": error.step, "reason": error.reason, "traceback": error.traceback, "evidence": error.evidence}
    return {**result(Status.DEGRADED, "; ".join([service.serving_words(), *words]), degraded=words), **told}


def _log(operation: Operation, outcome: Event) -> None:
    if outcome["status"] in (Status.DONE, Status.DEGRADED):
        log.info("%s %d done in %.2f s: %s", operation.verb, operation.number, operation.seconds, outcome["message"])
        return
    ended = (
        ""
        if outcome.get("aborted")
        else f"{operation.verb} {operation.number} {OUTCOMES.get(outcome['status'], 'failed')}: "
    )
    words = f"{ended}{outcome['message']}; {outcome.get('serving', '')}"
    trace = (
        "\n".join(
            filter(None, [str(outcome.get("traceback") or "").rstrip(), *symptoms.words(outcome.get("evidence"))])
        )
        or None
    )
    log.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, words, (), None, sinfo=trace))
