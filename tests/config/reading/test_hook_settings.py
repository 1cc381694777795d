"""``hooks``: what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from releve.config.errors import ConfigError
from releve.config.reading.load import load
from releve.config.settings.settings import Settings
from releve.config.settings.wire import from_wire


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("before: no", "as hooks.before: write off"),
        ("before: ''", "expected a command"),
        ("before: '  '", "expected a command"),
        ("before: []", "expected a command"),
        ("before: ['']", "expected a command"),
        ("before: [[a]]", "expected a text, or a list of texts"),
        ("before: [a, ]\n  after_ready: [a, {b: c}]", "expected a text, or a list of texts"),
        ("before: {timeout: 3s}", "the key run is missing"),
        ("before: {run: a, timeout: off}", "as hooks.before.timeout: it cannot be off"),
        ("before: {run: a, timeout: 5}", "write 5s"),
        ("before: {run: a, times: 5}", "cannot use 'times' in hooks.before"),
        ("before: {run: }", "as hooks.before.run: expected a text"),
        ('before: "a\\0"', "NUL"),
        ("after_fork: a.b", "expected module:function"),
        ("after_fork: 'a:b()'", "write a:b"),
        ("on_pause: [a]", "expected one value"),
        ("onpause: a", "did you mean 'on_pause'?"),
    ],
)
def test_what_is_refused(tmp_path: Path, written: str, words: str) -> None:
    file = tmp_path / "releve.yaml"
    file.write_text(f"app: a:b\nhooks:\n  {written}\n")
    with pytest.raises(ConfigError, match=r"releve.yaml:[34]:\d+: ") as caught:
        load(file)
    assert words in str(caught.value)


def test_what_an_odd_peer_sends_is_no_command() -> None:
    assert (
        from_wire({"app": "a:b", "hooks": {"before": "a", "on_failure": {"run": ["a"], "news": 1}}}).hooks.before
        is None
    )
    assert from_wire({"app": "a:b"}) == Settings(app="a:b")
