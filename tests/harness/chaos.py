"""A chaos run: the episodes of a plan carried out on a living service under load, and what must hold then.

Throughout: no connection is refused, and a client loses only what a killed worker held or
a bad release answered. After each episode: one committed generation with all its workers,
a history without an attempt that has no outcome, commands that told the truth.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from harness.chaos_plan import GOOD, Episode, Step
from harness.load import Load
from harness.service import Service, alive, eventually, free_port

CLIENTS = 16
WORKERS = 2
QUIET_S = 60.0  # at most, until everything has settled after an episode
LOOKS_APART_S = 0.2
AFTERMATH_S = 5.0  # how much later a client may notice what it lost
RSS_GROWTH_MAX_BYTES = 24 << 20
UPGRADE = {
    "canary": {"share": "30%", "for": "500ms"},
    "probation": "1s",
    "standby": "3s",
    "retire": "5s",
    "check": {"path": "/healthz", "timeout": "2s"},
}
TIMEOUTS = {"boot": "3s"}

HEALTHY = "from before import application\n"
SICK = {
    "absent": "import no_such_module_at_all\n",
    "hangs": "import time\ntime.sleep(600)\n",
    "unhealthy": """
import before
def application(environ, start_response):
    if environ["PATH_INFO"] == "/healthz":
        start_response("503 Service Unavailable", [("Content-Length", "0")])
        return []
    return before.application(environ, start_response)
""",
    "errors": """
import before
calls = 0
def application(environ, start_response):
    global calls
    calls += environ["PATH_INFO"] != "/healthz"
    if calls > 3:
        start_response("500 Internal Server Error", [("Content-Length", "0")])
        return []
    return before.application(environ, start_response)
""",
    "crashes": """
import os, threading, time
from before import application
def crash():
    time.sleep(0.7)
    os._exit(7)
os.register_at_fork(after_in_child=lambda: threading.Thread(target=crash, daemon=True).start())
""",
}
ENDED = {"done", "failed", "aborted", "rolled back", "dry run"}
OUTCOMES = {  # status of a ctl -> outcomes that its attempt may have in the history
    0: {"done", "dry run"},
    2: {"failed", "aborted"},
    4: {"failed", "aborted"},
    5: {"rolled back", "aborted"},
    8: {"done", "dry run"},
}


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass
class Told:
    """One ctl of an episode."""

    step: Step
    process: subprocess.Popen[str]
    status: int = -1
    said: str = ""


@dataclass
class Allowance:
    """What clients may lose, from when to when (monotonic), and how many of them."""

    since: float
    until: float
    kinds: frozenset[str]
    most: int
    why: str


LOST = frozenset({"lost", "truncated", "idle"})


@dataclass
class Run:
    """One chaos run on a service that has been started, and its load."""

    service: Service
    load: Load
    allowed: list[Allowance] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    judged: int = 0  # failures of clients that have been accounted for
    extra_port: int = field(default_factory=free_port)

    @property
    def extras(self) -> dict[str, str]:
        """The third address, of each kind."""
        return {"unix": f"unix:{self.service.root / 'extra.sock'}", "tcp": f"127.0.0.1:{self.extra_port}"}

    # ---------------------------------------------------------------- one episode

    def perform(self, episode: Episode) -> None:
        """Carry it out, and see that everything holds afterwards. Raises Broken."""
        service = self.service
        service.flip(episode.release)
        extra = [self.extras[episode.extra]] if episode.extra else []
        service.configure(
            listen=[f"127.0.0.1:{service.port}", f"unix:{service.unix}", *extra],
            upgrade={**UPGRADE, "mode": "rolling" if episode.rolling else "switch"},
        )
        began = time.monotonic()
        told: list[Told] = []
        killed: list[int] = []
        for step in episode.steps:
            time.sleep(max(0.0, began + step.after_s - time.monotonic()))
            if step.kind == "ctl":
                told.append(Told(step, service.begin_ctl(*step.what, "--json")))
            elif (pid := self.kill(step)) is not None:
                killed.append(pid)
        for one in told:
            out, err = one.process.communicate(timeout=QUIET_S)
            one.status, one.said = one.process.returncode, out + err
        self.wait_for_quiet(killed)
        if episode.release in ("errors", "crashes"):
            kinds = frozenset({"status"}) if episode.release == "errors" else LOST
            most = 10**9 if episode.release == "errors" else 3 * CLIENTS
            self.allowed.append(
                Allowance(began, time.monotonic() + AFTERMATH_S, kinds, most, f"the release {episode.release}")
            )
        self.see_clients()
        self.see_history()
        self.see_truth(told, supervisor_killed="supervisor" in episode.kills)
        self.see_addresses()
        self.done["episodes"] += 1

    def kill(self, step: Step) -> int | None:
        """Kill what a step says, if there is one; its pid."""
        with contextlib.suppress(OSError, AssertionError, IndexError):
            who = self.candidates(step.what[0])
            if not who:
                self.done[f"no {step.what[0]}"] += 1
                return None
            pid = who[min(len(who) - 1, int(step.choice * len(who)))]
            now = time.monotonic()
            if "worker" in step.what[0]:
                self.allowed.append(
                    Allowance(now - 0.5, now + AFTERMATH_S, LOST, CLIENTS, f"{step.what[0]}, pid {pid}")
                )
            os.kill(pid, signal.SIGKILL)
            self.done[step.what[0]] += 1
            self.service.killed = self.service.killed or step.what[0] == "supervisor"
            return pid
        self.done["nobody to ask"] += 1
        return None

    def candidates(self, what: str) -> list[int]:
        if what == "supervisor":
            return [self.service.supervisor()]
        generations = self.service.status()["generations"]
        in_service = [g for g in generations if g["state"] == "serving"]
        others = [g for g in generations if g["state"] != "serving"]
        chosen = in_service if what.endswith("in service") else others
        if what.startswith(("master", "another master")):
            return [g["pid"] for g in chosen if not g["orphaned"] and alive(g["pid"])]
        return [w["pid"] for g in chosen for w in g["workers"]]

    # ---------------------------------------------------------------- what must hold

    def wait_for_quiet(self, killed: list[int]) -> None:
        """One committed generation serves with the workers that are wanted, and nothing is under way."""
        seen: dict[str, Any] = {}

        def quiet() -> bool:
            with contextlib.suppress(OSError, AssertionError, IndexError):
                seen.update(self.service.status())
                return at_rest(seen, killed)
            return False

        eventually(quiet, f"one committed generation; the last look showed {seen}", QUIET_S)
        time.sleep(LOOKS_APART_S)
        eventually(quiet, f"one committed generation, still; the last look showed {seen}", QUIET_S)

    def see_clients(self) -> None:
        """Every client works, and what was lost is accounted for."""
        self.load.wait(3 * CLIENTS)
        failures = self.load.report()["failures"]
        for failure in failures[self.judged :]:
            what = f"client {failure['client']}: {failure['kind']}: {failure['detail']}"
            causes = [
                one for one in self.allowed if failure["kind"] in one.kinds and one.since <= failure["at"] <= one.until
            ]
            cause = next((one for one in causes if one.most > 0), None)
            if cause is None:
                raise Broken(f"{what}, at {failure['at']:.3f}; what may cost something: {self.allowed[-4:]}")
            cause.most -= 1
            self.done[f"{failure['kind']} for {cause.why.partition(',')[0]}"] += 1
        self.judged = len(failures)

    def see_history(self) -> None:
        """No attempt is without an outcome, and the last one that was done agrees with what serves."""
        entries = self.service.ask("history")["entries"]
        open_ones = [entry for entry in entries if entry["outcome"] is None]
        if open_ones:
            raise Broken(f"attempts without an outcome: {open_ones}")
        last = next(entry for entry in reversed(entries) if entry["outcome"] == "done")
        if last["to"]["generation"] != self.service.serving():
            raise Broken(f"generation {self.service.serving()} serves, and the last done attempt is {last}")
        serves = Path(last["to"]["directory"]).name
        # every release is the first one, in a folder of its own
        if serves not in GOOD or self.service.who()["release"] != "one":
            raise Broken(f"the release {serves} is committed")

    def see_truth(self, told: list[Told], *, supervisor_killed: bool) -> None:
        """Each ctl ended with a status that the history agrees with."""
        entries = self.service.ask("history")["entries"]
        for one in told:
            verb = one.step.what[0]
            self.statuses[f"{' '.join(one.step.what)}: {one.status}"] += 1
            mine = [entry for entry in entries if re.search(rf"\(pid {one.process.pid}\)", entry["by"])]
            words = f"ctl {' '.join(one.step.what)} ended with {one.status}; its attempts: {mine}\n{one.said}"
            if one.status not in range(9) or (one.status in (1, 3, 6) and not supervisor_killed):
                raise Broken(words)
            if not mine:
                asked_only = verb in ("status", "history", "abort") or (verb == "rollback" and "ended " in one.said)
                if one.status in (0, 8) and not asked_only:
                    raise Broken(words)
            elif mine[-1]["outcome"] == "interrupted":
                self.see_aftermath(mine[-1], entries, one.status, words)
            elif one.status == 7 or mine[-1]["outcome"] not in OUTCOMES.get(one.status, ENDED):
                raise Broken(words)

    def see_aftermath(self, attempt: dict[str, Any], entries: list[dict[str, Any]], status: int, words: str) -> None:
        """A command whose supervisor was killed says what became of it."""
        later = [entry for entry in entries if entry["id"] > attempt["id"] and entry["verb"] in ("adopt", "start")]
        after = next((entry for entry in later if entry["outcome"] != "interrupted"), None)
        before, now = attempt["from"] or {}, (after or {}).get("to") or {}
        moved = now.get("generation") != before.get("generation")
        if attempt["verb"] in ("upgrade", "rollback") and status in (0, 4, 5, 8) and (status in (0, 8)) is not moved:
            raise Broken(f"{words}\nafter it: {after}")

    def see_addresses(self) -> None:
        """What the service says that it listens on accepts, and nothing else does."""
        names = self.service.status()["service"]["listeners"]
        for name in (f"unix:{self.service.unix}", f"127.0.0.1:{self.service.port}", *self.extras.values()):
            if accepts(name) is not (name in names):
                raise Broken(f"{name} {'accepts' if accepts(name) else 'refuses'}, and the service listens on {names}")


def accepts(name: str) -> bool:
    """Whether somebody listens on an address."""
    kind, _, path = name.partition(":")
    where: Any = path if kind == "unix" else ("127.0.0.1", int(name.rpartition(":")[2]))
    with socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET) as probe:
        return probe.connect_ex(where) == 0


def at_rest(status: dict[str, Any], killed: list[int]) -> bool:
    """Whether a status shows one committed generation with all workers, and nothing that is still on its way out."""
    generations = status["generations"]
    active = [g for g in generations if g["active"]]
    pids = [g["pid"] for g in generations] + [w["pid"] for g in generations for w in g["workers"]]
    return (
        status["service"]["operation"] is None
        and not status["service"]["degraded"]
        and not set(pids) & set(killed)
        and {g["state"] for g in generations} <= {"serving", "standby"}
        and [g["state"] for g in generations].count("serving") == 1
        and len(active) == 1
        and active[0]["state"] == "serving"
        and not any(g["orphaned"] for g in generations)
        and [w["state"] for w in active[0]["workers"]] == ["serving"] * status["service"]["workers_wanted"]
    )


def deploy(service: Service) -> None:
    """Every release of the plan.

    Each is the first one's application, in a folder of its own, and bad as its name says.
    """
    source = (service.releases / "one" / "app.py").read_text()
    for name, text in {**dict.fromkeys(GOOD, HEALTHY), **SICK}.items():
        folder = service.release(name, before=source, release="RELEASE = 'one'\n", app=text)
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)


@dataclass(frozen=True)
class Census:
    """What the service holds when it rests and nothing stands by."""

    descriptors: tuple[str, ...]  # of the supervisor
    processes: int
    files: frozenset[str]
    rss_bytes: int

    @classmethod
    def take(cls, service: Service) -> Census:
        """Bring the service to where it can be compared: one good generation, as configured, alone."""
        service.configure(
            listen=[f"127.0.0.1:{service.port}", f"unix:{service.unix}"], upgrade={**UPGRADE, "mode": "switch"}
        )
        service.flip("one")
        service.do("upgrade")
        service.must("scale", "--reset")
        eventually(
            lambda: at_rest(service.status(), []) and len(service.status()["generations"]) == 1,
            "one generation, alone",
            QUIET_S,
        )
        eventually(lambda: len(service.processes()) == 2 + WORKERS, "no process too many", QUIET_S)
        pid = service.supervisor()
        return cls(
            tuple(service.descriptors(pid)),
            len(service.processes()),
            frozenset(service.files()),
            psutil.Process(pid).memory_info().rss,
        )

    def compare(self, service: Service) -> None:
        """Raises Broken unless the service holds what it held."""
        now = self
        for _ in range(20):  # what is on its way out may take a moment
            now = Census.take(service)
            if (now.descriptors, now.processes, now.files) == (self.descriptors, self.processes, self.files):
                break
        else:
            more, less = Counter(now.descriptors), Counter(self.descriptors)
            raise Broken(
                f"descriptors more {more - less}, less {less - more}; {now.processes} processes; files "
                f"{now.files ^ self.files}"
            )
        if now.rss_bytes - self.rss_bytes > RSS_GROWTH_MAX_BYTES:
            raise Broken(f"the supervisor has {now.rss_bytes} bytes, {self.rss_bytes} before")
