"""What the reports of a master change: what is known of its release, and who hears of an outcome."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from releve.supervisor.channels.master import Master
from releve.supervisor.generation.boot import Boot
from releve.supervisor.generation.crash import Crashes
from releve.supervisor.generation.news import REMARKS_MAX, News
from releve.supervisor.generation.roster import Roster
from releve.supervisor.reporting.failure import StepFailed


class Heard:
    """Those who hear of the reports, as master, boot, roster and crashes; something has crashed once."""

    def __init__(self, features: list[str]) -> None:
        self.answers: list[StepFailed | None] = []
        self.calls: list[str] = []
        self.hello = {"features": features}
        self.tag = {"who": "gen=1"}
        self.ordered = True

    def stack(self) -> str:
        return "the stack"

    def fail(self, failure: StepFailed) -> None:
        self.answers.append(failure)

    def answer(self, message: object, failure: StepFailed | None) -> bool:
        self.answers.append(failure)
        return self.ordered

    def enter(self, *arguments: object) -> None:
        self.calls.append("enter")

    def observe(self) -> None:
        self.calls.append("observe")


def news(*features: str) -> tuple[News, Heard]:
    heard = Heard(list(features))
    return News(cast(Master, heard), cast(Boot, heard), cast(Roster, heard), cast(Crashes, heard)), heard


def failure(**message: object) -> StepFailed:
    """What becomes of a `failed`."""
    one, heard = news()
    one.hear({"type": "failed", "reason": "why", **message}, [])
    [answer] = heard.answers
    assert answer is not None and answer.reason == "why"
    return answer


def test_a_crash_is_evidence_where_workers_were_to_start_and_nothing_else_is_said() -> None:
    assert failure(step="boot").traceback == failure(step="workers", id=1).traceback == "the stack"
    assert failure(step="workers", traceback="theirs").traceback == "theirs"
    assert failure(step="pause", id=1).traceback == ""


def test_an_order_that_is_done_is_answered_and_who_is_late_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    one, heard = news()
    one.hear({"type": "done", "id": 1, "late": [3]}, [])
    assert heard.answers == [None] and "no answer yet from worker 3" in caplog.text
    caplog.clear()
    one.hear({"type": "done", "id": 2, "late": list(range(1, 513))}, [])
    assert caplog.messages[0].endswith("19, 20 and 492 more")
    caplog.clear()
    heard.ordered = False
    one.hear({"type": "done", "id": 99, "late": [3]}, [])
    assert not caplog.messages, "nobody has ordered that"


def test_what_a_release_says_of_itself_is_known() -> None:
    one, _ = news()
    one.hear({"type": "imported", "preloaded": True, "broken": ["/blog: why"], "signal": 50}, [])
    assert (one.preloaded, one.broken, one.stacks_signal) == (True, ["/blog: why"], 50)
    one.hear({"type": "mixed", "files": ["a.py"]}, [])
    one.hear({"type": "mixed", "files": ["b.py"], "astray": True}, [])
    assert (one.mixed, one.astray) == (["a.py"], ["b.py"])


def test_remarks_are_kept_up_to_a_number() -> None:
    one, _ = news()
    for number in range(REMARKS_MAX + 5):
        one.hear({"type": "remark", "text": str(number)}, [])
    assert one.remarks == [str(number) for number in range(REMARKS_MAX)]


@pytest.mark.parametrize("features", [[], ["stacks"]])
def test_a_worker_is_observed_where_its_release_answers(features: list[str]) -> None:
    one, heard = news(*features)
    one.hear({"type": "worker", "worker": 1}, [])
    assert heard.calls == ["enter", *["observe"] * len(features)]


def test_who_stops_the_service_is_heard() -> None:
    one, _ = news()
    one.hear({"type": "terminated"}, [])  # nobody asked
    told: list[Any] = []
    one.on_terminated = lambda: told.append(SimpleNamespace())
    one.hear({"type": "terminated"}, [])
    assert len(told) == 1
