"""The settings of one service: pure values, standard library only.

One place per setting: its key, its default, its unit and its line of help stand
here and nowhere else. The loader validates by this table, the reference in the
docs and the JSON Schema are rendered from it, and both sides of the link speak
it (``to_wire``, ``from_wire``).

Durations are floats in seconds, sizes are ints in bytes. ``None`` is written
``off`` (durations) or ``unlimited`` (sizes) in YAML; ``0`` never means "none".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from os.path import commonprefix
from typing import Any

from releve.config.frozen import dataclass

Wire = dict[str, Any]

_MOUNTS_SHOWN = 4

WORKERS_MAX = 256  # half the scoreboard of a generation: a reload has as many again beside them
HEAD_MAX_BYTES = 1 << 24  # a head is held in memory, once for each connection


def key(default: Any, kind: str, text: str, **more: Any) -> Any:
    """Describe one setting.

    ``kind`` says how it is written: the parser of one word in ``kinds``
    (``duration``, ``size``, ``count``, ``path``, ``choice``, ...), or a reader of
    a list or block in ``reading/build.py`` (``listen``, ``check``, ``canary``, ``modules``,
    ``networks``, ``variables``, ``headers``, ``mounts``, ``patterns``, ``command``,
    ``verbs``, ``folders``, ``group``). ``more`` may hold ``choices``, ``minimum``, ``maximum``, ``off`` (the
    word for ``None``), ``required``, ``upgrade`` (a reload cannot apply it, an upgrade
    can), ``restart`` (only a new supervisor can), ``start`` (it counts at the next start
    of the service, and only there) and ``supervisor`` (nothing to the release, which need
    not know it).
    """
    metadata = {"kind": kind, "help": text, **more}
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def written(field: dataclasses.Field[Any]) -> str:
    """The key of a field as it is written: one that is a word of Python has a ``_`` more here."""
    return field.name.removesuffix("_")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: one of TCP, a Unix socket, or a socket inherited by name.

    ``kind`` is ``tcp`` (``host``, ``port``), ``unix`` (``path``, and optionally
    ``mode``, ``owner``, ``group``) or ``fd`` (``name``, from socket activation).
    """

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""
    mode: int = 0o666
    owner: str | None = None
    group: str | None = None
    name: str = ""

    def __str__(self) -> str:
        """The address as written in YAML; it also names the listener everywhere."""
        if self.kind == "unix":
            return f"unix:{self.path}"
        if self.kind == "fd":
            return f"fd:{self.name}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Mount:
    """One of several applications: ``app`` serves ``prefix`` and what is below it; ``place`` says where that is
    written.
    """

    prefix: str
    app: str
    place: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """``limits``: what one client may ask for."""

    request_line: int = key(8190, "size", "Longest request line.", minimum=64, maximum=HEAD_MAX_BYTES)
    headers: int = key(100, "count", "Most header fields in one request.", minimum=1, maximum=10_000)
    header: int = key(8190, "size", "Longest single header field.", minimum=64, maximum=HEAD_MAX_BYTES)
    head: int = key(65536, "size", "Longest request head in all.", minimum=256, maximum=HEAD_MAX_BYTES)
    body: int | None = key(None, "size", "Longest request body.", off="unlimited", minimum=1)
    spool: int | None = key(
        1 << 30,
        "size",
        (
            "Most bytes of request bodies that one worker keeps in files while clients send them; off: no "
            "files, and slow bodies hold threads."
        ),
        off="off",
        minimum=1,
    )
    streams: int | None = key(
        None,
        "count",
        (
            "Requests in one worker that the application gets before their body is complete; auto: a "
            "quarter of threads, of fast clients."
        ),
        off="auto",
        minimum=1,
        maximum=1000,
    )
    connections: int = key(
        10000,
        "count",
        "Most open connections of one worker; beyond that, the longest idle one is closed.",
        minimum=1,
        maximum=1_000_000,
    )
    requests: int | None = key(None, "count", "Requests after which a worker is replaced.", off="off", minimum=1)
    requests_jitter: int = key(
        0, "count", "Up to so many more, by chance, so that workers are not replaced together.", minimum=0
    )
    rss: int | None = key(None, "size", "Resident memory beyond which a worker is replaced.", off="off", minimum=1)
    backlog: int = key(
        2048,
        "count",
        "Length of the accept queue of each listener; the kernel caps it at net.core.somaxconn.",
        minimum=1,
        maximum=65_535,
    )


@dataclass(frozen=True, slots=True)
class Request:
    """``request``: how requests reach the application."""

    buffer_chunked: int | None = key(
        None,
        "size",
        (
            "Longest chunked body that is decoded before the application gets it, with a Content-Length "
            "(longer: 413); off: as it comes."
        ),
        off="off",
        minimum=1,
    )


@dataclass(frozen=True, slots=True)
class Timeouts:
    """``timeouts``: how long to wait for a client, for a boot, for a stop."""

    header: float = key(
        10.0, "duration", "For a whole request head, from its first byte; and for the first byte of a connection."
    )
    keepalive: float = key(75.0, "duration", "For the next request of an idle connection.")
    body: float = key(30.0, "duration", "Without a byte of the request body.")
    write: float = key(30.0, "duration", "Without the client taking a byte of the response.")
    min_rate: int | None = key(
        240,
        "size",
        "Bytes a second that a client must send of a body or take of a response, on average.",
        off="off",
        minimum=1,
    )
    request: float | None = key(
        None,
        "duration",
        "Since the application took or gave a byte; then its stack is logged, and its worker replaced.",
        off="off",
    )
    boot: float = key(60.0, "duration", "For a new generation, from its start until all its workers are ready.")
    bind: float | None = key(
        5.0,
        "duration",
        (
            "At the first start, for an address of listen that this host does not have yet, or that "
            "another process still holds."
        ),
        off="off",
        start=True,
        supervisor=True,
    )
    pre_stop: float | None = key(
        None,
        "duration",
        "At a stop, how long to serve on as before, while balancers in front take notice; then the drain begins.",
        off="off",
    )
    drain: float = key(30.0, "duration", "For requests in flight, at a stop.")
    linger: float = key(5.0, "duration", "Silence after which an idle connection is closed, at a stop.")
    exit: float = key(
        5.0, "duration", "For the end of a worker that has served its last request: hooks.on_exit, threads, atexit."
    )


@dataclass(frozen=True, slots=True)
class Check:
    """``upgrade.check``: the request that a new worker must answer before it gets traffic."""

    path: str = key("/", "target", "Path and query to ask for.")
    host: str = key("localhost", "host", "Host header; Django wants one of its ALLOWED_HOSTS.")
    headers: dict[str, str] = key({}, "headers", "More request headers.")
    https: bool = key(False, "flag", "Say that the request came by https (X-Forwarded-Proto).")
    expect: str = key("200-399", "statuses", "Statuses that pass: numbers and ranges, as in 200-299,404.")
    timeout: float = key(5.0, "duration", "For the whole answer.")


@dataclass(frozen=True, slots=True)
class Canary:
    """``upgrade.canary``: the part of the new connections that a new generation serves before the switch."""

    share: float = key(0.1, "share", "Of the new connections; counted, not left to chance.", minimum=0.01, maximum=0.99)
    for_: float = key(30.0, "duration", "How long; then the switch follows.")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """``upgrade``: how generations follow one another."""

    check: Check | None = key(
        None,
        "check",
        "Path (or path, host, headers, https, expect, timeout) asked of every new worker before it gets traffic.",
        off="off",
    )
    mode: str = key(
        "switch",
        "choice",
        (
            "switch: all new workers beside all old ones; rolling: worker by worker, never more than one "
            "extra, for tight memory."
        ),
        choices=("switch", "rolling"),
    )
    canary: Canary | None = key(
        None,
        "canary",
        "Share (or share, for) of the new connections that a new generation serves, watched, before the switch.",
        off="off",
        supervisor=True,
    )
    probation: float | None = key(
        5.0, "duration", "How long a new generation is watched after the switch; what is bad goes back.", off="off"
    )
    standby: float | None = key(60.0, "duration", "How long the old generation stays warm after the commit.", off="off")
    retire: float = key(3600.0, "duration", "How long the last requests of an old generation may take.")


# The verbs of ctl (instance/protocol.py; a test compares).
CONTROL_VERBS = (
    *("status", "upgrade", "reload", "rollback", "stop", "scale", "abort", "reexec", "history"),
    *("check", "reopen", "workers", "dump", "drain", "undrain", "doctor"),
)


@dataclass(frozen=True, slots=True)
class Control:
    """``control``: what members of ``control_group`` may do, who are neither root nor the supervisor's user."""

    may: tuple[str, ...] | None = key(
        None,
        "verbs",
        "Verbs of ctl that members of control_group may use, or all.",
        off="all",
        restart=True,
        supervisor=True,
    )
    directories: tuple[str, ...] | None = key(
        None,
        "folders",
        (
            "Folders that must contain each release that they upgrade to, and each interpreter that they "
            "name; or anywhere."
        ),
        off="anywhere",
        restart=True,
        supervisor=True,
    )


@dataclass(frozen=True, slots=True)
class Proxy:
    """``proxy``: whom to believe what a client's request has come through."""

    trusted: tuple[str, ...] = key(
        ("127.0.0.1", "::1", "unix:"),
        "networks",
        (
            "Peers whose X-Forwarded-For, -Proto and -Prefix are believed: addresses, networks, and unix: "
            "for Unix sockets."
        ),
    )
    protocol: bool = key(
        False, "flag", "Trusted peers begin each connection with a PROXY protocol header; no other peer may connect."
    )


@dataclass(frozen=True, slots=True)
class Command:
    """A command in ``hooks``: a text for ``/bin/sh -c``, or a list that is run as it is; and how long it may take."""

    run: str | tuple[str, ...] = key(
        "", "run", "Text for the shell, or a list: a program and its arguments.", required=True, upgrade=True
    )
    timeout: float = key(60.0, "duration", "After which it is ended.", upgrade=True)


def _command(text: str) -> Any:
    return key(None, "command", text, off="off", upgrade=True, supervisor=True)


def _function(text: str) -> Any:
    return key(None, "function", text, off="off", upgrade=True)


@dataclass(frozen=True, slots=True)
class Hooks:
    """``hooks``: what is run at the turns of an upgrade (commands), and in each worker (functions)."""

    before: Command | None = _command(
        "Before a new generation is started; migrations, say. If it fails, nothing is touched."
    )
    after_ready: Command | None = _command(
        "When the new workers are ready and checked. If it fails, they get no traffic, ever."
    )
    after_switch: Command | None = _command("When they serve, beside the probation. Its failure is noted.")
    after_commit: Command | None = _command("When the new generation is committed. Its failure is noted.")
    on_failure: Command | None = _command("When an upgrade has failed before it served. Its failure is noted.")
    on_rollback: Command | None = _command("When the old generation serves again. Its failure is noted.")
    after_fork: str | None = _function("In each new worker before it is ready. If it fails, the worker has not booted.")
    on_pause: str | None = _function("In a worker that has paused, and whose last request has ended.")
    on_resume: str | None = _function("In a worker that had paused, before it accepts again.")
    on_exit: str | None = _function(
        "In each worker that leaves, when its last connection has gone; before its functions of atexit."
    )


@dataclass(frozen=True, slots=True)
class Log:
    """``log``: what Relève itself writes, what the application writes to standard output and error, and the
    access log.
    """

    level: str = key(
        "info",
        "choice",
        "Least severe message of Relève itself written.",
        choices=("debug", "info", "warning", "error"),
    )
    file: str = key(
        "-",
        "log",
        "Where the log and the application's standard output and error go: a file, or - to leave them where they are.",
    )
    format: str = key(
        "auto",
        "choice",
        (
            "text; json, an object a line; or auto: entries with fields where standard error is systemd's "
            "journal, else text."
        ),
        choices=("auto", "text", "json"),
    )
    output: str = key(
        "tagged",
        "choice",
        (
            "What Python code writes to standard output and error: tagged, each line in format with "
            "generation and worker; or plain, as it is."
        ),
        choices=("tagged", "plain"),
    )
    access: str | None = key("-", "log", "Where the access log goes: a file, or - for standard output.", off="off")
    access_format: str = key(
        "combined",
        "access_format",
        "A line of the access log: common, combined, json, or a format with atoms such as %(h)s.",
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything one YAML file can say, every value resolved but the release itself.

    ``directory``, ``python`` and the two state folders stay literal (absolute
    paths, symlinks not followed, or ``None`` for ``auto``): they are resolved
    afresh for each generation.
    """

    app: str = key("", "app", "The WSGI application, as module:object; or mounts instead.", upgrade=True, required=True)
    mounts: tuple[Mount, ...] = key(
        (),
        "mounts",
        "Several applications instead of app: path prefixes and the module:object that each is served by.",
        upgrade=True,
    )
    on_app_error: str = key(
        "refuse",
        "choice",
        "A mounted application that cannot be imported: refuse the release, or isolate it (503 for its prefix only).",
        choices=("refuse", "isolate"),
        upgrade=True,
    )
    include: tuple[str, ...] = key(
        (), "patterns", "More files, as conf.d/*.yaml, relative to this one; their keys are added to it."
    )
    directory: str = key(
        "",
        "path",
        "Folder of the release; default: the configuration file's own. Resolved afresh for each generation.",
        upgrade=True,
    )
    listen: tuple[Address, ...] = key(
        (Address("tcp", "127.0.0.1", 8000),), "listen", "Address, or list of addresses, to listen on."
    )
    workers: int = key(
        2, "workers", "Number of worker processes, or auto for one per available core.", minimum=1, maximum=WORKERS_MAX
    )
    threads: int = key(
        8,
        "count",
        "Requests at once in one worker; with 1 the application runs in the main thread only.",
        minimum=1,
        maximum=1000,
    )
    python: str | None = key(
        None,
        "python",
        "Interpreter, relative to directory; auto: the directory's .venv or venv, else the supervisor's own.",
        off="auto",
        upgrade=True,
    )
    preload: bool | None = key(
        None,
        "flag",
        "Import in the master and fork after; auto: unless the import leaves threads or connected sockets.",
        off="auto",
        upgrade=True,
    )
    preload_modules: tuple[str, ...] = key((), "modules", "More modules to import at preload.", upgrade=True)
    env: dict[str, str] = key({}, "variables", "Environment variables for the application.", upgrade=True)
    env_file: str | None = key(
        None, "path", "File of NAME=value lines for the application's environment.", off="off", upgrade=True
    )
    user: str | None = key(
        None, "name", "User that masters and workers run as; only when started as root.", off="off", upgrade=True
    )
    group: str | None = key(None, "name", "Group that masters and workers run as.", off="off", upgrade=True)
    umask: int | None = key(None, "mode", "File mode mask of masters and workers.", off="off", upgrade=True)
    no_new_privileges: bool = key(
        True,
        "flag",
        (
            "With user: what masters and workers start gains nothing by set-user-ID programs, as sudo and "
            "some mailers are."
        ),
        upgrade=True,
    )
    control_group: str | None = key(
        None,
        "name",
        "Group whose members may use ctl, besides root and the user that the supervisor runs as.",
        off="off",
        restart=True,
    )
    runtime_directory: str | None = key(
        None,
        "path",
        "Folder of the control socket and the lock; auto: $RUNTIME_DIRECTORY, else the user's runtime folder.",
        off="auto",
        restart=True,
    )
    state_directory: str | None = key(
        None,
        "path",
        "Folder of the history; auto: $STATE_DIRECTORY, else the user's state folder.",
        off="auto",
        restart=True,
    )
    spool_directory: str | None = key(
        None,
        "path",
        "Folder for the files of limits.spool; auto: $TMPDIR, /var/tmp or the system's temporary folder.",
        off="auto",
    )
    readiness: str | None = key(
        None,
        "target",
        (
            "Path that Relève itself answers for load balancers: 200, or 503 while `ctl drain` lasts or a "
            "stop; off: upgrade.check's path is."
        ),
        off="off",
    )
    limits: Limits = field(default=Limits(), metadata={"kind": "group", "help": "What one client may ask for."})
    request: Request = field(
        default=Request(), metadata={"kind": "group", "help": "How requests reach the application."}
    )
    timeouts: Timeouts = field(default=Timeouts(), metadata={"kind": "group", "help": "How long to wait."})
    upgrade: Upgrade = field(
        default=Upgrade(), metadata={"kind": "group", "help": "How generations follow one another."}
    )
    proxy: Proxy = field(default=Proxy(), metadata={"kind": "group", "help": "What is believed of a proxy in front."})
    control: Control = field(
        default=Control(), metadata={"kind": "group", "help": "What members of control_group may do."}
    )
    hooks: Hooks = field(
        default=Hooks(),
        metadata={"kind": "group", "help": "Commands at the turns of an upgrade, and functions in each worker."},
    )
    log: Log = field(default=Log(), metadata={"kind": "group", "help": "What is written to logs, and where."})
    watch: str = key(
        "off",
        "choice",
        "Upgrade by itself: release (the directory's symlink is flipped) or code (a file is saved; for development).",
        choices=("off", "release", "code"),
    )

    @property
    def served(self) -> str:
        """What is served, in a few words: the application, or the prefixes of the mounted ones."""
        if not self.mounts:
            return self.app
        prefixes = [mount.prefix or "/" for mount in self.mounts]
        shown = ", ".join(prefixes[:_MOUNTS_SHOWN]) + (", …" if len(prefixes) > _MOUNTS_SHOWN else "")
        return f"{len(prefixes)} {'application' if len(prefixes) == 1 else 'applications'} ({shown})"


GROUPS: dict[str, type[Any]] = {
    "limits": Limits,
    "request": Request,
    "timeouts": Timeouts,
    "upgrade": Upgrade,
    "proxy": Proxy,
    "control": Control,
    "hooks": Hooks,
    "log": Log,
}


def rules() -> dict[str, Mapping[str, Any]]:
    """The table: what each ``key`` call says, by dotted key (``limits.head``), in the order of this file."""
    table: dict[str, Mapping[str, Any]] = {}
    for top in dataclasses.fields(Settings):
        if top.name in GROUPS:
            table |= {f"{top.name}.{below.name}": below.metadata for below in dataclasses.fields(GROUPS[top.name])}
        else:
            table[top.name] = top.metadata
    return table


def key_names() -> tuple[str, ...]:
    """Every setting this release knows, dotted, sorted; part of ``hello``."""
    return tuple(sorted(rules()))


def to_wire(settings: Settings) -> Wire:
    """Settings as plain JSON values, for the link and the keepsake; mounts as rows, since there may be a thousand in
    one message.
    """
    base = commonprefix([mount.place for mount in settings.mounts])
    rows = [[mount.prefix, mount.app, mount.place.removeprefix(base)] for mount in settings.mounts]
    return {**dataclasses.asdict(dataclasses.replace(settings, mounts=())), "mounts": rows, "mounts_base": base}


def from_wire(wire: Wire) -> Settings:
    """Settings from the other side of a link: unknown keys are ignored, missing ones defaulted.

    The two sides are different releases by definition, so neither may insist.
    """
    values = _known(Settings, wire)
    for group, kind in GROUPS.items():
        if isinstance(values.get(group), dict):
            values[group] = kind(**_known(kind, values[group]))
    upgrade = values.get("upgrade")
    if isinstance(upgrade, Upgrade) and isinstance(upgrade.check, dict):
        upgrade = values["upgrade"] = dataclasses.replace(upgrade, check=Check(**_known(Check, upgrade.check)))
    if isinstance(upgrade, Upgrade) and isinstance(upgrade.canary, dict):
        values["upgrade"] = dataclasses.replace(upgrade, canary=Canary(**_known(Canary, upgrade.canary)))
    hooks = values.get("hooks")
    if isinstance(hooks, Hooks):
        commands: dict[str, Any] = {
            f.name: _command_from(getattr(hooks, f.name))
            for f in dataclasses.fields(Hooks)
            if f.metadata["kind"] == "command"
        }
        values["hooks"] = dataclasses.replace(hooks, **commands)
    control = values.get("control")
    if isinstance(control, Control):
        lists = {f.name: getattr(control, f.name) for f in dataclasses.fields(Control)}
        values["control"] = Control(
            **{name: None if listed is None else tuple(listed) for name, listed in lists.items()}
        )
    proxy = values.get("proxy")
    if isinstance(proxy, Proxy):
        values["proxy"] = dataclasses.replace(proxy, trusted=tuple(proxy.trusted))
    if "listen" in values:
        values["listen"] = tuple(Address(**_known(Address, address)) for address in values["listen"])
    if "mounts" in values:
        base = str(wire.get("mounts_base", ""))
        values["mounts"] = tuple(Mount(prefix, app, base + place) for prefix, app, place, *_ in values["mounts"])
    if "include" in values:
        values["include"] = tuple(values["include"])
    if "preload_modules" in values:
        values["preload_modules"] = tuple(values["preload_modules"])
    return Settings(**values)


def _command_from(wire: Any) -> Command | None:
    if not isinstance(wire, dict):
        return None
    command = Command(**_known(Command, wire))
    return command if isinstance(command.run, str) else dataclasses.replace(command, run=tuple(command.run))


def _known(kind: type[Any], wire: Wire) -> Wire:
    names = {f.name for f in dataclasses.fields(kind)}
    return {name: value for name, value in wire.items() if name in names}
