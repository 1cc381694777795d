"""The strict client as seen by a test: started, steered, judged."""

from __future__ import annotations

import json
import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness import forked
from harness.strict import strict
from harness.strict.options import Options
from harness.strict.request import DEFAULT_TEMPLATES, Template

LIMIT_S = 120.0  # for any one acknowledgement


class Load:
    """A running strict client. Use it by ``strictly`` below."""

    def __init__(
        self, *addresses: str, serving: int | None = None, templates: list[dict[str, Any]] | None = None, **options: Any
    ) -> None:
        how = Options(addresses, **options)
        kinds = [Template(**one) for one in templates or ()] or DEFAULT_TEMPLATES
        self.process = forked.Process(lambda: strict.main(how, kinds))
        self.final: dict[str, Any] | None = None
        if serving is not None:
            self.done(serving)

    def say(self, command: str) -> dict[str, Any]:
        """One command, its acknowledgement."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        assert select.select([self.process.stdout], [], [], LIMIT_S)[0], (
            f"the strict client does not acknowledge {command!r} within {LIMIT_S:g} s"
        )
        line = self.process.stdout.readline()
        assert line, f"the strict client ended at {command!r} with status {self.process.wait(10)}"
        acknowledged: dict[str, Any] = json.loads(line)
        return acknowledged

    def begin(self, generation: int) -> None:
        """From now on ``generation`` may answer too."""
        self.say(f"begin {generation}")

    def done(self, generation: int) -> None:
        """What is sent from now on must be answered by ``generation``."""
        self.say(f"done {generation}")

    def wait(self, more: int) -> dict[str, Any]:
        """Until so many more requests have been answered."""
        return self.say(f"wait {self.report()['answered'] + more}")

    def round(self) -> dict[str, Any]:
        """One request of every client that keeps its connection."""
        return self.say("round")

    def report(self) -> dict[str, Any]:
        """The figures so far."""
        return self.say("report")

    def stop(self) -> dict[str, Any]:
        """End it; the final figures."""
        if self.final is None:
            self.final = self.say("stop")
            self.process.wait(30)
        return self.final

    def kill(self) -> None:
        """End it without a word."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()

    close = kill  # for contextlib.closing


@contextmanager
def strictly(*addresses: str, serving: int | None = None, least: int = 20, **options: Any) -> Iterator[Load]:
    """Load from the strict client around a block, which starts after ``least`` answers and in the end must have cost no
    failure.
    """
    load = Load(*addresses, serving=serving, **options)
    try:
        if not options.get("rounds"):
            load.wait(least)
        yield load
        if load.final is None and not options.get("rounds"):
            load.wait(least)  # what the block left behind goes on working
        report = load.stop()
        assert report["failed"] == 0, (
            json.dumps({k: report[k] for k in ("answered", "failed", "kinds", "by_generation")})
            + "\n"
            + "\n".join(f"{f['at']:.3f} client {f['client']}: {f['kind']}: {f['detail']}" for f in report["failures"])
        )
    finally:
        load.kill()
