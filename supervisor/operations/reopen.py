"""Reopening the log files, in every process of every generation: asked by ``ctl reopen`` or USR1, or because they were
rotated.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from releve.instance.protocol import Event, Status, result
from releve.supervisor.generation.generation import Generation
from releve.supervisor.generation.states import GenerationState
from releve.supervisor.generation.totals import EVERY_S
from releve.supervisor.reporting.failure import StepFailed
from releve.supervisor.reporting.log import OwnLog, log, own
from releve.supervisor.reporting.logfiles import LentFiles
from releve.supervisor.service.service import Service

REOPEN_S = 10.0  # for a master; it waits for its workers for up to 6 s
LATEST_S = 300.0  # between two tries for what cannot be reopened


async def reopen(service: Service, by: str) -> Event:
    """Reopen everything; the outcome, once every process that could be asked has said so.

    What cannot be opened stays as it is.
    """
    troubles: list[str] = []
    files = 0
    try:
        own.reopen()
        files += own.path is not None
    except StepFailed as error:
        troubles.append(error.reason)
    generations = service.generations()
    for found, reasons in await asyncio.gather(*(_reopen(generation) for generation in generations)):
        files += found
        troubles += [reason for reason in reasons if reason not in troubles]
    words = ", ".join(str(generation.number) for generation in generations)
    message = f"reopened the log files of generation {words}" if files and words else "no log file to reopen"
    log.info("reopen by %s: %s", by, message)
    for trouble in troubles:
        log.error("%s", trouble)
    more: dict[str, Any] = {"serving": service.serving_words()}
    if troubles:
        what_next = "remove the cause, then ctl reopen; until then the old files are written"
        return result(Status.FAILED, "; ".join(troubles), **more, next=what_next)
    return result(Status.DONE, message, **more)


class Rotations:
    """Notices that log files were rotated without a word, and reopens them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._task: asyncio.Task[None] | None = None
        self._wait_s = 0.0  # after a failure
        self._not_before = 0.0  # in the loop's time

    def look(self) -> None:
        """Ask where the files are now; call it from time to time."""
        if asyncio.get_running_loop().time() < self._not_before or (self._task is not None and not self._task.done()):
            return
        files: list[OwnLog | LentFiles] = [own, *(generation.files for generation in self._service.generations())]
        if sum(one.rotated() for one in files):  # each one is asked, since it takes note
            self._task = asyncio.get_running_loop().create_task(self._reopen())

    async def _reopen(self) -> None:
        answer = await reopen(self._service, "the supervisor (files were rotated, or taken over)")
        failed = answer["status"] != Status.DONE
        self._wait_s = min(max(self._wait_s * 2, EVERY_S), LATEST_S) if failed else 0.0
        self._not_before = asyncio.get_running_loop().time() + self._wait_s


async def _reopen(generation: Generation) -> tuple[int, list[str]]:
    """One generation: how many of its revisions have files, and what went wrong."""
    troubles: list[str] = []
    revisions = generation.files.keep({generation.revision, *generation.roster.revisions()})
    for revision in revisions:
        try:
            late = await _renew(generation, revision)
            if late:
                troubles.append(
                    f"no answer yet from worker {', '.join(map(str, late))} of generation {generation.number}: "
                    "the old files are written"
                )
        except StepFailed as error:
            troubles.append(error.reason)
    return len(revisions), troubles


async def _renew(generation: Generation, revision: int) -> list[int]:
    """Have every process of a revision go on in the log files that lie at its paths now; the workers that are late.

    What is booting does it once it is there. Raises StepFailed.
    """
    if not generation.can("reopen"):
        what = f"cannot reopen the log files of generation {generation.number}"
        raise StepFailed(
            "reopen",
            f"{what}: its releve {generation.hello.get('releve')} cannot; it keeps writing the old files",
        )
    with generation.files.renewed(revision) as files:
        keys: dict[str, object] = dict.fromkeys(files, True)
        fds = list(files.values())
        if generation.orphaned:
            return await _renew_orphans(generation, revision, fds, keys)
        if generation.state is GenerationState.BOOTING:
            generation.master.tell("reopen", fds, revision=revision, **keys)
            return []
        done = await generation.orders.give("reopen", fds, REOPEN_S, revision=revision, **keys)
        return list(done.get("late", []))


async def _renew_orphans(generation: Generation, revision: int, fds: list[int], keys: dict[str, object]) -> list[int]:
    asked = generation.roster.reopen(revision, fds, **keys)

    def late() -> list[int]:
        return [worker.number for worker in asked if not worker.reopened and worker.number in generation.workers]

    with suppress(TimeoutError):
        async with asyncio.timeout(REOPEN_S):
            await generation.until(lambda: not late())
    return late()
