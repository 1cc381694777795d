"""The checks of the doctor: one function for each, in one table.

Each takes the ``Facts`` and gives what it found, or nothing. What is not known there is not judged.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterator

from releve.config.frozen import dataclass
from releve.config.grammar import counted
from releve.server.shared.system import DESCRIPTORS_SPARE
from releve.supervisor.inspection import live_checks
from releve.supervisor.inspection.facts import Facts
from releve.supervisor.inspection.finding import PROBLEM, WARNING, Finding
from releve.supervisor.systemd import unit
from releve.supervisor.systemd.lacking import lacking
from releve.supervisor.systemd.needs import needs

PORTS_LEAST = 10_000  # of the ephemeral range: connections to one database or upstream, of a minute
DATABASE_USUAL = 100  # max_connections of PostgreSQL
CLOCK_JUMP_S = 5.0
NETWORK_BITS = {4: 8, 6: 16}  # the widest network that can belong to one owner of proxies
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table."""

    name: str
    words: str
    look: Callable[[Facts], Iterator[Finding]]
    needs: tuple[str, ...] = ()  # facts without which it can find nothing


def _health(facts: Facts) -> Iterator[Finding]:
    for reason in facts.degraded:
        yield Finding("health", PROBLEM, reason, "see ctl status and the log")
    if facts.drained_s is not None:
        yield Finding(
            "health",
            WARNING,
            f"drained for {facts.drained_s / 60:.0f} min: load balancers send new clients elsewhere",
            "ctl undrain ends the drain",
        )


def _history(facts: Facts) -> Iterator[Finding]:
    if facts.history_trouble:
        yield Finding(
            "history",
            PROBLEM,
            f"the history cannot be written: {facts.history_trouble}",
            "remove the cause; until then upgrades are refused",
        )


def _descriptors(facts: Facts) -> Iterator[Finding]:
    limits, limit = facts.settings.limits, facts.descriptors_hard
    needed = limits.descriptors + DESCRIPTORS_SPARE
    if limit is None or limit >= needed:
        return
    severity = PROBLEM if limit < limits.connections else WARNING
    spools = "" if limits.spool is None else ", each with a file for its body (limits.spool)"
    yield Finding(
        "descriptors",
        severity,
        f"a process may open {limit} files, and limits.connections is {limits.connections}{spools}",
        f"raise LimitNOFILE= of the unit (ulimit -Hn) to {needed}, or lower limits.connections",
    )


def _tasks(facts: Facts) -> Iterator[Finding]:
    settings = facts.settings
    if facts.tasks_left is None:
        return
    left, bound = facts.tasks_left
    workers = 1 if settings.upgrade.mode == "rolling" else facts.workers or settings.workers
    more = 1 + workers * (settings.threads + 2)  # a master, and of each worker the main thread and those beside it
    if left < more:
        yield Finding(
            "tasks",
            PROBLEM,
            (
                f"{'an upgrade' if facts.workers else 'a start'} needs {more} more processes and threads, "
                f"and {left} are available ({bound})"
            ),
            f"raise {bound}, or lower workers or threads",
        )


def _backlog(facts: Facts) -> Iterator[Finding]:
    backlog = facts.settings.limits.backlog
    if facts.somaxconn is not None and facts.somaxconn < backlog:
        yield Finding(
            "backlog",
            WARNING,
            f"limits.backlog is {backlog}, but the kernel limits each accept queue to {facts.somaxconn}",
            f"sysctl -w net.core.somaxconn={backlog}, or lower limits.backlog",
        )


def _ports(facts: Facts) -> Iterator[Finding]:
    if facts.port_range is None:
        return
    low, high = facts.port_range
    inside = sorted(
        {one.port for one in facts.settings.listen if one.kind == "tcp" and low <= one.port <= high}
        - facts.ports_reserved
    )
    for port in inside:
        yield Finding(
            "ports",
            WARNING,
            (
                f"port {port} is in the range of outgoing ports ({low} to {high}): a client on this host may "
                "hold it when the service starts"
            ),
            f"sysctl -w net.ipv4.ip_local_reserved_ports={port}, or listen on another port",
        )
    if high - low + 1 < PORTS_LEAST:
        yield Finding(
            "ports",
            WARNING,
            f"only {counted(high - low + 1, 'port')} for outgoing connections ({low} to {high})",
            "sysctl -w net.ipv4.ip_local_port_range='32768 60999'",
        )


def _memory(facts: Facts) -> Iterator[Finding]:
    if facts.pss_bytes is None or facts.available_bytes is None or not facts.workers:
        return
    rolling = facts.settings.upgrade.mode == "rolling"
    more = facts.pss_bytes // facts.workers if rolling else facts.pss_bytes
    if more > facts.available_bytes:
        yield Finding(
            "memory",
            PROBLEM,
            (
                f"an upgrade needs about {more // _MIB} MiB more while it runs, and "
                f"{facts.available_bytes // _MIB} MiB are available"
            ),
            "lower workers, or add memory" if rolling else "set upgrade.mode: rolling, lower workers, or add memory",
        )


def _overcommit(facts: Facts) -> Iterator[Finding]:
    if (
        facts.overcommit == 2
        and facts.commit_left_bytes is not None
        and facts.pss_bytes is not None
        and facts.commit_left_bytes < facts.pss_bytes
    ):
        yield Finding(
            "overcommit",
            WARNING,
            "the kernel does not overcommit memory (vm.overcommit_memory=2), and "
            f"{facts.commit_left_bytes // _MIB} MiB are available: a fork may fail",
            "raise vm.overcommit_ratio, or sysctl -w vm.overcommit_memory=0",
        )


def _unit(facts: Facts) -> Iterator[Finding]:
    told, settings = facts.unit, facts.settings
    if told is None:
        return
    again = "make the unit again (releve systemd-unit), then systemctl daemon-reload"
    for name, least_s in (("TimeoutStartUSec", unit.start_s(settings)), ("TimeoutStopUSec", unit.stop_s(settings))):
        seconds = told.seconds(name)
        if seconds is not None and seconds < least_s:
            directive = name.replace("USec", "Sec=")
            yield Finding(
                "unit", PROBLEM, f"{directive}{seconds:g} is too short: the configuration allows {least_s} s", again
            )
    if told.get("KillMode") not in ("mixed", None):
        yield Finding(
            "unit",
            PROBLEM,
            f"KillMode={told.get('KillMode')}: a stop kills workers in the middle of requests",
            "set KillMode=mixed, or " + again,
        )
    if told.get("Type") not in ("notify", "notify-reload", None):
        yield Finding(
            "unit",
            WARNING,
            f"Type={told.get('Type')}: systemd does not wait until the service serves",
            "set Type=notify, or " + again,
        )
    stored = told.number("FileDescriptorStoreMax")
    if stored is not None and stored < len(settings.listen):
        yield Finding(
            "unit", WARNING, f"FileDescriptorStoreMax={stored}: a restart refuses clients for a moment", again
        )
    if told.get("PIDFile") == "":
        yield Finding(
            "unit", WARNING, "PIDFile= is not set: if the supervisor is killed, systemd stops its workers too", again
        )
    if told.seconds("WatchdogUSec") in (0.0, None) and told.get("WatchdogUSec") is not None:
        yield Finding(
            "unit", WARNING, "WatchdogSec= is not set: systemd does not restart a supervisor that hangs", again
        )
    for words in lacking(needs(settings, *facts.real), told, facts.strange_groups, facts.absent):
        yield Finding("unit", PROBLEM, f"the unit does not match the configuration: {words}", again)


def _database(facts: Facts) -> Iterator[Finding]:
    settings = facts.settings
    workers = facts.workers or settings.workers
    times = workers + 1 if settings.upgrade.mode == "rolling" else 2 * workers
    most = times * settings.threads
    if most > DATABASE_USUAL:
        yield Finding(
            "database",
            WARNING,
            (
                f"during an upgrade {times} workers run {settings.threads} threads each: {most} database "
                "connections, one for each thread"
            ),
            (
                f"check that the database allows them (PostgreSQL: {DATABASE_USUAL} by default), "
                "use a pooler, or lower threads"
            ),
        )


def _import(facts: Facts) -> Iterator[Finding]:
    for found in facts.unsafe_import:
        yield Finding(
            "import",
            PROBLEM,
            (
                f"the import (or sitecustomize before it) left {found} in the master: after the fork no worker can "
                "use it"
            ),
            "open it in hooks.after_fork or at the first request; or set preload: false, if the import leaves it",
        )


def _release(facts: Facts) -> Iterator[Finding]:
    if facts.release_trouble:
        yield Finding(
            "release",
            PROBLEM,
            facts.release_trouble,
            "correct this; until then releve does not start, and upgrades are refused",
        )


def _symlink(facts: Facts) -> Iterator[Finding]:
    settings = facts.settings
    if (
        settings.watch != "code"
        and facts.resolved is not None
        and os.path.normpath(settings.directory) == facts.resolved
    ):
        yield Finding(
            "symlink",
            WARNING,
            f"directory ({settings.directory}) is not a symlink: a deploy overwrites the release that "
            "runs, and there is nothing to roll back to once the standby exits",
            "use a folder for each release, and set directory to a symlink that the deploy flips",
        )


def _interpreter(facts: Facts) -> Iterator[Finding]:
    if facts.python is None or facts.resolved is None:
        return
    releases = os.path.dirname(facts.resolved)
    inside, linked = _under(facts.python, facts.resolved), os.path.normpath(facts.settings.directory) != facts.resolved
    if linked and not inside and releases != "/" and _under(facts.python, releases):
        yield Finding(
            "interpreter",
            PROBLEM,
            (
                f"the interpreter {facts.python} is not in {facts.resolved}, but in another release: if that "
                "release is deleted, nothing starts"
            ),
            "make a virtual environment in each release, or one outside of all releases; set python",
        )


def _clock(facts: Facts) -> Iterator[Finding]:
    if facts.synchronised is False:
        yield Finding(
            "clock",
            WARNING,
            "the clock of this host is not synchronized: times in the log and the history may be wrong",
            "timedatectl set-ntp true",
        )
    if facts.clock_jump_s is not None and abs(facts.clock_jump_s) > CLOCK_JUMP_S:
        yield Finding(
            "clock",
            WARNING,
            (
                f"the clock was changed by {facts.clock_jump_s:+.0f} s since the service started: older times "
                "in the log and the history are off by that"
            ),
            "nothing to do: no deadline depends on that clock",
        )


def _proxy(facts: Facts) -> Iterator[Finding]:
    for text in facts.settings.proxy.trusted:
        try:
            network = ipaddress.ip_network(text)
        except ValueError:  # unix:
            continue
        if network.prefixlen < NETWORK_BITS[network.version]:
            yield Finding(
                "proxy",
                PROBLEM,
                f"proxy.trusted has {text}: anyone who connects from there can pose as any client",
                "list the proxies only",
            )


def _root(facts: Facts) -> Iterator[Finding]:
    if facts.uid == 0 and facts.settings.user is None:
        yield Finding("root", WARNING, "the application runs as root", "set user: to an account that owns nothing else")


def _writable(facts: Facts) -> Iterator[Finding]:
    for path in facts.writable:
        yield Finding(
            "writable", PROBLEM, f"every user may write to {path}, and so change what runs", f"chmod o-w {path}"
        )


def _control(facts: Facts) -> Iterator[Finding]:
    for trouble in facts.control:
        yield Finding(
            "control", PROBLEM, trouble, "chown and chmod it so that only root and the service's user may write there"
        )


def _stale(facts: Facts) -> Iterator[Finding]:
    for path in facts.stale:
        yield Finding("stale", WARNING, f"{path} was left by a service that exited", f"rm {path}")


CHECKS = (
    Check("health", "the service is neither degraded nor drained", _health, ("workers",)),
    Check("load", "a thread is free, and few requests are answered with 5xx", live_checks.load, ("workers",)),
    Check("limits", "no worker is near a limit of its own", live_checks.limits, ("workers",)),
    Check("history", "the history can be written", _history, ("workers",)),
    Check(
        "descriptors", "the limit of open files is enough for limits.connections", _descriptors, ("descriptors_hard",)
    ),
    Check("tasks", "enough processes and threads are available for another generation", _tasks, ("tasks_left",)),
    Check("backlog", "the kernel's net.core.somaxconn allows limits.backlog", _backlog, ("somaxconn",)),
    Check(
        "ports", "no listener is in the range of outgoing ports, and there are enough of those", _ports, ("port_range",)
    ),
    Check(
        "memory",
        "enough memory is available for a second generation",
        _memory,
        ("workers", "pss_bytes", "available_bytes"),
    ),
    Check("overcommit", "the kernel has memory for forks", _overcommit, ("overcommit",)),
    Check("unit", "timeouts and settings of the systemd unit match the configuration", _unit, ("unit",)),
    Check(
        "database",
        f"an upgrade opens no more than {DATABASE_USUAL} database connections, one for each thread",
        _database,
    ),
    Check(
        "import",
        "the import of the application leaves no threads or connections in the master",
        _import,
        ("workers",),
    ),
    Check("release", "directory, interpreter and user of the release exist", _release),
    Check("symlink", "the directory of the release is a symlink that deploys flip", _symlink, ("resolved",)),
    Check("interpreter", "the interpreter is not in another release", _interpreter, ("python",)),
    Check("clock", "the clock is synchronized, and was not changed since the start", _clock, ("synchronised",)),
    Check("proxy", "proxy.trusted lists proxies, not whole networks", _proxy),
    Check("root", "the application does not run as root", _root),
    Check("writable", "only some users may write to what runs", _writable),
    Check("control", "members of control_group cannot change what control allows them", _control),
    Check("stale", "the runtime directory has no files of dead processes", _stale, ("workers",)),
)


def _under(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
