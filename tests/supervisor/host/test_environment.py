"""What of the supervisor's environment is for itself alone."""

from __future__ import annotations

from releve.server.shared.revive import REVIVED
from releve.supervisor.host.environment import GENERATION_VARIABLE, OF_ONE_PROCESS, OURS_ALONE, SENTRY, strip


def test_what_describes_the_unit_stays_and_what_is_for_one_process_goes() -> None:
    stays = {"PATH": "/bin", "INVOCATION_ID": "1", "STATE_DIRECTORY": "/s", "JOURNAL_STREAM": "1:2"}
    before = {**stays, **dict.fromkeys(OURS_ALONE, "x")}
    assert strip(before) == stays
    assert len(before) == len(stays) + len(OURS_ALONE)  # it is a copy


def test_the_next_supervisor_has_its_watchdog_and_address_and_no_descriptors_of_the_one_before() -> None:
    assert {"NOTIFY_SOCKET", "WATCHDOG_USEC", "FDSTORE", "MAINPID", "MANAGERPID"} == OURS_ALONE - OF_ONE_PROCESS
    assert {REVIVED, SENTRY} < OF_ONE_PROCESS
    assert GENERATION_VARIABLE not in OURS_ALONE
