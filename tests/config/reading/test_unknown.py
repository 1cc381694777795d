"""Which key was probably meant: a misspelt one, one of another block, one of another server."""

import pytest

from releve.config.errors import Place
from releve.config.reading.unknown import FOREIGN, unknown
from releve.config.reading.written import Content, Written
from releve.config.settings.settings import GROUPS, key_names

PLACE = Place("releve.yaml")


def suggested(name: str, block: str = "", content: Content = "x") -> str:
    keys = [key for key in key_names() if key.startswith(f"{block}.")] if block else None
    known = (
        [key.rpartition(".")[2] for key in keys] if keys else [*{key.partition(".")[0]: None for key in key_names()}]
    )
    return unknown(name, f"{block}." if block else "", known, Written(content, PLACE, PLACE, "/"))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("thread", "unknown key; did you mean 'threads'?"),
        ("worker", "unknown key; did you mean 'workers'?"),
        ("workers_count", "unknown key; did you mean 'workers'?"),
        ("listn", "unknown key; did you mean 'listen'?"),
        ("pre-load", "unknown key; did you mean 'preload'?"),
        ("bind", "unknown key; did you mean 'listen'?"),
        ("port", "unknown key; did you mean 'listen'?"),
        ("timeout", "unknown key; did you mean 'timeouts.request'?"),
        ("request_timeout", "unknown key here; did you mean timeouts.request?"),
        ("keep_alive", "unknown key here; did you mean timeouts.keepalive?"),
        ("keepalive", "unknown key here; did you mean timeouts.keepalive?"),
        ("log_level", "unknown key here; did you mean log.level?"),
        ("log-level", "unknown key here; did you mean log.level?"),
        ("level", "unknown key here; did you mean log.level?"),
        ("access_log", "unknown key here; did you mean log.access?"),
        ("accesslog", "unknown key; did you mean 'log.access'?"),
        ("max_requests", "unknown key; did you mean 'limits.requests'?"),
        ("canari", "unknown key here; did you mean upgrade.canary?"),
        ("news", "unknown key"),
        ("quota", "unknown key"),
    ],
)
def test_a_slip_at_the_top(name: str, meant: str) -> None:
    assert suggested(name) == meant


@pytest.mark.parametrize(
    ("block", "name", "meant"),
    [
        ("limits", "thread", "unknown key here; did you mean threads, at the top level?"),
        ("limits", "threads", "unknown key here; did you mean threads, at the top level?"),
        ("limits", "worker", "unknown key here; did you mean workers, at the top level?"),
        ("limits", "hed", "unknown key; did you mean 'head'?"),
        ("limits", "log_level", "unknown key here; did you mean log.level?"),
        ("timeouts", "keep_alive", "unknown key; did you mean 'keepalive'?"),
        ("timeouts", "standbye", "unknown key here; did you mean upgrade.standby?"),
        ("timeouts", "news", "unknown key; the keys are bind, body, boot, drain, "),
    ],
)
def test_a_slip_in_a_block(block: str, name: str, meant: str) -> None:
    assert suggested(name, block).startswith(meant)


def test_a_block_that_is_misspelt_is_taken_for_a_block() -> None:
    assert suggested("timeout", content={}) == "unknown key; did you mean 'timeouts'?"
    assert suggested("logs", content={}) == "unknown key; did you mean 'log'?"


def test_what_other_servers_call_it_is_a_key_of_ours() -> None:
    assert set(FOREIGN.values()) <= set(key_names())
    assert not set(FOREIGN) & {*key_names(), *GROUPS}
