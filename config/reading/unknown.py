"""Keys that are no setting: which one was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

from releve.config.kinds.words import either
from releve.config.reading.written import Written
from releve.config.settings.settings import GROUPS, key_names

# What other servers call it.
FOREIGN = {
    "bind": "listen",
    "host": "listen",
    "port": "listen",
    "address": "listen",
    "socket": "listen",
    "chdir": "directory",
    "wsgi_app": "app",
    "application": "app",
    "module": "app",
    "processes": "workers",
    "preload_app": "preload",
    "raw_env": "env",
    "environment": "env",
    "virtualenv": "python",
    "venv": "python",
    "uid": "user",
    "gid": "group",
    "loglevel": "log.level",
    "errorlog": "log.file",
    "capture_output": "log.output",
    "accesslog": "log.access",
    "access_log_format": "log.access_format",
    "worker_connections": "limits.connections",
    "max_requests": "limits.requests",
    "max_requests_jitter": "limits.requests_jitter",
    "forwarded_allow_ips": "proxy.trusted",
    "proxy_allow_ips": "proxy.trusted",
    "proxy_protocol": "proxy.protocol",
    "timeout": "timeouts.request",
    "harakiri": "timeouts.request",
    "graceful_timeout": "timeouts.drain",
    "reload": "watch",
    "post_fork": "hooks.after_fork",
    "post_worker_init": "hooks.after_fork",
    "when_ready": "hooks.after_ready",
}

# From which likeness on (1 is the same word) a key of the same block, or one of elsewhere, may have been meant.
_HERE, _ELSEWHERE = 0.6, 0.75


def unknown(name: str, prefix: str, known: Iterable[str], written: Written) -> str:
    """Why a key is unknown in a block (``limits.``, or "" for the top level) that knows others, and which one was
    probably meant: of this block or, where that is nearer, of all settings.
    """
    here = sorted(known)
    if not prefix and isinstance(written.content, dict):
        blocks = _nearest(name, [*GROUPS, "mounts", "env"], _HERE)
        if blocks:
            return f"unknown key; did you mean {blocks[1]!r}?"
    if not prefix and name in FOREIGN:
        return f"unknown key; did you mean {FOREIGN[name]!r}?"
    every = [key for key in key_names() if not prefix or not key.startswith(prefix)]
    same = [key for key in every if key.rpartition(".")[2] == name]
    if same:
        return f"unknown key here; did you mean {_at_the_top(either(same), same[0])}?"
    near, far = _nearest(name, here, _HERE), _nearest(name, every, _ELSEWHERE)
    if far and (not near or far[0] > near[0]):
        return f"unknown key here; did you mean {_at_the_top(far[1], far[1])}?"
    if near:
        return f"unknown key; did you mean {near[1]!r}?"
    return f"unknown key; the keys are {', '.join(here)}" if prefix else "unknown key"


def _at_the_top(words: str, key: str) -> str:
    return words if "." in key else f"{words}, at the top level"


def _nearest(name: str, keys: Iterable[str], least: float) -> tuple[float, str] | None:
    """The key that is most like ``name``, and how much."""
    best = max(((_likeness(name, key), key) for key in keys), key=lambda found: found[0], default=(0.0, ""))
    return best if best[0] >= least else None


def _likeness(name: str, key: str) -> float:
    """0 to 1: of a key's own name, or of all of its words in whatever order (``request_timeout``)."""
    word = name.lower().replace("-", "_").replace(".", "_")
    own = SequenceMatcher(None, key.rpartition(".")[2], word).ratio()
    if "." not in key:
        return own
    whole = SequenceMatcher(None, _sorted(key.replace(".", "_")), _sorted(word)).ratio()
    return max(own, whole)


def _sorted(words: str) -> str:
    return "_".join(sorted(words.split("_")))
