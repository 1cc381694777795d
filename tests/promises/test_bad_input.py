"""Bad input never costs anything: one clear error, its exit status, and what runs goes on running."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import forked
from harness.service import PYTHON, Service, eventually, serving
from releve.supervisor.verbs.verbs import VERBS

SLOW_IMPORT = """
import os, time

while not os.path.exists({flag!r}):
    time.sleep(0.02)
raise ImportError("in the end it fails")
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("input"), workers=2) as running:
        yield running


@pytest.fixture(autouse=True)
def left_alone(service: Service) -> Iterator[None]:
    """Whatever a test of this module does: the same generation and the same workers serve after it."""
    before = (service.serving(), service.workers(), service.pids())
    good = dict(service.settings)
    yield
    service.settings = good
    service.configure()
    service.flip("one")
    eventually(
        lambda: (service.serving(), service.workers(), service.pids()) == before, "the same processes as before", 10.0
    )
    assert service.who()["release"] == "one"


def releve(service: Service, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``releve`` to its end."""
    return forked.run("releve", arguments, service.root, {**service.environment, **environment}, 30)


def one_error(text: str, pattern: str) -> None:
    assert re.search(pattern, text), f"{pattern!r} is not in:\n{text}"
    assert "Traceback" not in text


BAD_SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"wrokers": 3}, r"releve\.yaml:\d+:\d+: cannot .*wrokers.*did you mean 'workers'"),
    "key of a later version": ({"probation": "5s"}, r"releve\.yaml:\d+:\d+: cannot .*probation"),
    "unknown key in a group": (
        {"timeouts": {"boot_time": "5s"}},
        r"releve\.yaml:\d+:\d+: cannot .*boot_time.*did you mean 'boot'",
    ),
    "wrong type": ({"workers": "many"}, r"releve\.yaml:\d+:\d+: cannot .*workers"),
    "a list for a value": ({"app": ["a", "b"]}, r"releve\.yaml:\d+:\d+: cannot .*app"),
    "bad duration": ({"timeouts": {"boot": "soon"}}, r"releve\.yaml:\d+:\d+: cannot .*soon"),
    "duration without a unit": ({"timeouts": {"boot": 30}}, r"releve\.yaml:\d+:\d+: cannot .*30s"),
    "zero": ({"workers": 0}, r"releve\.yaml:\d+:\d+: cannot .*workers"),
    "bad size": ({"limits": {"head": "64 parsecs"}}, r"releve\.yaml:\d+:\d+: cannot .*parsecs"),
    "bad address": ({"listen": "nowhere"}, r"releve\.yaml:\d+:\d+: cannot .*nowhere"),
    "bad application": ({"app": "a/b.py"}, r"releve\.yaml:\d+:\d+: cannot .*app"),
    "no application": ({"app": None}, r"releve\.yaml(:\d+:\d+)?: cannot .*app"),
}


@pytest.mark.parametrize("name", BAD_SETTINGS)
@pytest.mark.parametrize("verb", ["releve", "releve check", "ctl upgrade", "ctl reload", "ctl check"])
def test_bad_settings(service: Service, name: str, verb: str) -> None:
    changes, pattern = BAD_SETTINGS[name]
    service.configure(**changes)
    command, *rest = verb.split()
    done = service.ctl(*rest) if command == "ctl" else releve(service, *rest, "-c", str(service.file))
    assert done.returncode == 2, done.stdout + done.stderr
    one_error(done.stdout + done.stderr, pattern)


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "(?i)no such file|does not exist"),
    "a folder": (make_folder, "(?i)directory|folder"),
    "empty": (lambda file: file.write_text(""), "empty|app"),
    "not YAML": (lambda file: file.write_text("a: b: c\n"), r"releve\.yaml:1:\d+"),
    "binary": (lambda file: file.write_bytes(b"\x00\xff\xfe"), r"releve\.yaml"),
    "a list": (lambda file: file.write_text("- a\n"), r"releve\.yaml"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_file(service: Service, name: str) -> None:
    spoil, pattern = UNREADABLE[name]
    spoil(service.file)
    try:
        for done in (
            releve(service, "-c", str(service.file)),
            releve(service, "check", "-c", str(service.file)),
            service.ctl("upgrade", found_by="socket"),
        ):
            assert done.returncode == 2, done.stdout + done.stderr
            one_error(done.stdout + done.stderr, pattern)
    finally:
        if service.file.is_dir():
            service.file.rmdir()


MESSAGES: dict[str, tuple[bytes, str]] = {
    "garbage": (b"\x16\x03\x01\x02\x00\xff\n", "cannot read a message"),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", "cannot read a message"),
    "a list": (b"[1]\n", "not a JSON object"),
    "deep": (b"[" * 100_000 + b"\n", "cannot read a message"),
    "a newer version": (b'{"version": 2, "verb": "status", "arguments": {}}\n', "version 2.*speaks 1"),
    "no version": (b'{"verb": "status"}\n', "version"),
    "an unknown verb": (b'{"version": 1, "verb": "explode", "arguments": {}}\n', "'explode'.*status, upgrade"),
    "an unknown argument": (b'{"version": 1, "verb": "status", "arguments": {"x": 1}}\n', "'x'"),
    "arguments of another kind": (b'{"version": 1, "verb": "status", "arguments": [1]}\n', "arguments"),
    "a bad number": (b'{"version": 1, "verb": "scale", "arguments": {"workers": "many"}}\n', "many"),
    "workers of another kind": (b'{"version": 1, "verb": "scale", "arguments": {"workers": {"a": 1}}}\n', "."),
    "too long": (b'{"version": 1, "verb": "' + b"x" * (1024 * 1024 + 10) + b'"}\n', "longer than"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_bad_message_on_the_control_socket(service: Service, name: str) -> None:
    data, pattern = MESSAGES[name]
    events = service.talk(data)
    assert len(events) == 1, events
    assert events[0]["event"] == "result"
    assert events[0]["status"] == 2, events
    one_error(events[0]["message"], pattern)
    assert "unexpected" not in events[0]["message"]


UNFIT: list[Any] = [
    None,
    True,
    -1_000_000,
    10**30,
    1e308,
    float("nan"),
    "",
    "a\0b",
    "\ud800",
    "x" * 70_000,
    "+" + "9" * 5000,
    "-",
    "\x1b[2J",
    "²",
    [],
    {"a": {}},
]


@pytest.mark.parametrize("verb", ["upgrade", "scale", "history", "dump"])
def test_no_argument_of_a_request_is_unexpected(service: Service, verb: str) -> None:
    """Each argument of each verb that has more than a flag: refused, or it means nothing that exists."""
    for name in VERBS[verb].takes.may:
        for value in UNFIT:
            said = {**({"dry_run": True} if verb == "upgrade" else {}), name: value}
            if name not in ("wait", "reset", "dry_run") or not isinstance(value, bool | None):
                assert service.ask(verb, **said)["status"] in (0, 2, 4), (name, value)
    assert "Traceback" not in service.log()


def test_a_conversation_cut_short(service: Service) -> None:
    """Nothing said, half a line, and a client that leaves in the middle."""
    for data in (b"", b'{"version": 1, "ver', b'{"version": 1, "verb": "status", "arguments": {}}\n'):
        with socket.socket(socket.AF_UNIX) as conversation:
            conversation.connect(str(service.control_socket))
            conversation.sendall(data)
    assert service.status()["status"] == 0
    assert "Traceback" not in service.log()


@pytest.mark.parametrize(
    "arguments",
    [
        ("explode",),
        ("upgrade", "--no-such-flag"),
        ("scale",),
        ("scale", "many"),
        ("scale", "0"),
        ("status", "extra"),
        ("--socket",),
        (),
    ],
)
def test_bad_usage_of_ctl(service: Service, arguments: tuple[str, ...]) -> None:
    done = service.ctl(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--no-such-flag",),
        ("-w", "many", "app:application"),
        ("-w", "0", "app:application"),
        ("-b", "nowhere", "app:application"),
        ("a/b.py",),
    ],
)
def test_bad_usage_of_releve(service: Service, arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = releve(service, *arguments, RUNTIME_DIRECTORY=str(tmp_path / "run"), STATE_DIRECTORY=str(tmp_path / "state"))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["RELEVE_WORKERS", "WEB_CONCURRENCY", "PORT", "RELEVE_TIMEOUTS_BOOT"])
def test_bad_environment(service: Service, name: str) -> None:
    done = releve(service, "check", "-c", str(service.file), **{name: "nonsense"})
    assert done.returncode == 2, done.stdout + done.stderr
    one_error(done.stdout + done.stderr, f"{name}.*nonsense")


def test_nothing_runs(service: Service, tmp_path: Path) -> None:
    other = Service(tmp_path / "other")
    other.release("one")
    other.flip("one")
    other.configure()
    for verb in ("status", "upgrade", "reload", "rollback", "stop", "abort", "history", "scale"):
        done = other.ctl(verb, *(["2"] if verb == "scale" else []))
        assert done.returncode == 3, (verb, done.stdout, done.stderr)
        one_error(done.stderr, "(?i)not running")


def test_a_dead_control_socket(service: Service, tmp_path: Path) -> None:
    """A socket file whose server is dead is as good as none."""
    path = tmp_path / "ctl.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    done = subprocess.run(
        [PYTHON, "-m", "releve.ctl.main", "--socket", str(path), "status"],
        env=service.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3, done.stderr
    one_error(done.stderr, "(?i)not running")


def slow_upgrade(service: Service) -> subprocess.Popen[str]:
    """An upgrade that imports until ``let_go``."""
    (service.root / "go").unlink(missing_ok=True)
    service.release("slow", app=SLOW_IMPORT.format(flag=str(service.root / "go")))
    service.flip("slow")
    upgrade = service.begin_ctl("upgrade")
    eventually(lambda: (service.status()["service"]["operation"] or {}).get("phase") == "boot", "the upgrade boots")
    return upgrade


def let_go(service: Service) -> None:
    (service.root / "go").touch()


def test_two_upgrades_at_once(service: Service) -> None:
    first = slow_upgrade(service)
    for verb in ("upgrade", "reload", "rollback"):
        second = service.ctl(verb)
        assert second.returncode == 7, second.stderr
        one_error(second.stderr + second.stdout, r"cannot \w+: upgrade \d+ by .* is under way")
    let_go(service)
    out, err = first.communicate(timeout=30)
    assert first.returncode == 4, out + err
    assert "in the end it fails" in out + err


def test_an_aborted_upgrade(service: Service) -> None:
    first = slow_upgrade(service)
    done = service.ctl("abort")
    assert done.returncode == 0, done.stderr
    out, err = first.communicate(timeout=30)
    assert first.returncode == 4, out + err
    assert "aborted" in out + err
    assert service.status()["last"]["outcome"] != "done"


def test_nothing_to_abort(service: Service) -> None:
    done = service.ctl("abort")
    assert done.returncode == 2
    one_error(done.stderr + done.stdout, "cannot abort")


def test_nothing_to_roll_back_to(service: Service) -> None:
    done = service.ctl("rollback")
    assert done.returncode == 4
    one_error(done.stderr + done.stdout, "cannot roll back")


def test_interrupted_and_timed_out_waiting(service: Service) -> None:
    """Ctrl-C leaves the waiting, not the upgrade; so does a time limit."""
    first = slow_upgrade(service)
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=30)
    assert first.returncode == 6, err
    one_error(err, "continues")
    assert service.status()["service"]["operation"]["verb"] == "upgrade"
    let_go(service)
    eventually(lambda: not service.status()["service"]["operation"], "the upgrade has ended by itself")
    (service.root / "go").unlink()
    limited = service.ctl("upgrade", "--timeout", "0.5")
    assert limited.returncode == 6, limited.stderr
    one_error(limited.stderr, "continues")
    let_go(service)
    eventually(lambda: not service.status()["service"]["operation"], "the upgrade has ended by itself")


def test_a_second_supervisor(service: Service) -> None:
    """The lock of the runtime directory names who holds it."""
    done = releve(service, "-c", str(service.file))
    assert done.returncode not in (0, None)
    one_error(done.stderr, rf"\b{service.pid}\b")


def test_a_second_service_on_the_same_addresses(service: Service, tmp_path: Path) -> None:
    """Another runtime directory, the same port or Unix socket: refused, the living one is untouched."""
    for listen in (f"127.0.0.1:{service.port}", f"unix:{service.unix}"):
        other = Service(tmp_path / "other", listen=listen)
        other.release("one")
        other.flip("one")
        other.configure(timeouts={"bind": "off"})
        done = releve(other, "-c", str(other.file))
        assert done.returncode == 4, done.stderr
        one_error(done.stderr, "cannot listen on")
        assert service.unix.is_socket()


@pytest.mark.parametrize("path", ["/leave", "/leave?status=0"])
def test_sys_exit_in_a_view(service: Service, path: str) -> None:
    """A plain 500; the worker lives and its other requests are answered."""
    assert service.request("GET", path)[0] == 500
    assert service.request("GET", "/echo")[0] == 200


def test_a_stop_during_an_upgrade(tmp_path: Path, service: Service) -> None:
    with serving(tmp_path / "stopped", workers=1) as other:
        upgrade = slow_upgrade(other)
        done = other.ctl("stop")
        assert done.returncode == 0, done.stderr
        out, err = upgrade.communicate(timeout=30)
        assert upgrade.returncode == 4, out + err
        assert "stop" in out + err
        assert other.process is not None
        assert other.process.wait(10) == 0
        other.gone()
        entries = [
            json.loads(line)
            for line in next((tmp_path / "stopped" / "state").rglob("history.jsonl")).read_text().splitlines()
        ]
        ends = {e["id"] for e in entries if e["event"] == "end"}
        assert ends == {e["id"] for e in entries if e["event"] == "begin"}, "an attempt without an outcome"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user: needs root")
def test_permission_denied(service: Service) -> None:
    """Somebody else gets a plain refusal."""
    script = (
        "import os, sys, runpy\nimport releve.ctl.main\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"sys.argv = ['ctl', '--socket', {str(service.control_socket)!r}, 'status']\nreleve.ctl.main.main()\n"
    )
    done = subprocess.run([PYTHON, "-c", script], env=service.environment, capture_output=True, text=True, cwd="/")
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    one_error(done.stderr, "(?i)permission denied")
