"""Words, lists and blocks: what is refused, with which words and at which column."""

from pathlib import Path

import pytest

from harness.configurations import loaded, refused
from releve.config.settings.address import Address

# One more line after `app: a:b`, and the one problem, without `releve.yaml:2:`.
BAD_LINES = [
    (
        "timeouts: {thread: 3s}",
        "12: cannot use 'thread' in timeouts: unknown key here; did you mean threads, at the top level?",
    ),
    ("wrkers: 3", "1: cannot use 'wrkers': unknown key; did you mean 'workers'?"),
    ("preload-modules: []", "1: cannot use 'preload-modules': unknown key; did you mean 'preload_modules'?"),
    ("keepalive: 3s", "1: cannot use 'keepalive': unknown key here; did you mean timeouts.keepalive?"),
    ("body: 3s", "1: cannot use 'body': unknown key here; did you mean limits.body or timeouts.body?"),
    (
        "limits: {threads: 3}",
        "10: cannot use 'threads' in limits: unknown key here; did you mean threads, at the top level?",
    ),
    ("bind: ':80'", "1: cannot use 'bind': unknown key; did you mean 'listen'?"),
    ("graceful_timeout: 30", "1: cannot use 'graceful_timeout': unknown key; did you mean 'timeouts.drain'?"),
    ("zzz: 3", "1: cannot use 'zzz': unknown key"),
    (
        "log: {zzz: 3}",
        "7: cannot use 'zzz' in log: unknown key; the keys are access, access_format, file, format, level, output",
    ),
    ("upgrade: {check: {pth: /}}", "19: cannot use 'pth' in upgrade.check: unknown key; did you mean 'path'?"),
    # Keys that exist only once they work.
    ("forwarded_allow_ips: '*'", "1: cannot use 'forwarded_allow_ips': unknown key; did you mean 'proxy.trusted'?"),
    ("proxy: {trusted: ['*']}", "19: cannot use '*' in proxy.trusted: write 0.0.0.0/0 and ::/0 to trust every peer"),
    (
        "proxy: {trusted: 10.0.0.1/8}",
        "18: cannot use '10.0.0.1/8' as proxy.trusted: that is an address in a network; write 10.0.0.0/8",
    ),
    (
        "proxy: {trusted: [nginx]}",
        "19: cannot use 'nginx' in proxy.trusted: expected an IP address, a network such as 10.0.0.0/8, or unix:",
    ),
    (
        "upgrade: {trial: 5s}",
        "11: cannot use 'trial' in upgrade: unknown key; the keys are canary, check, mode, probation, retire, standby",
    ),
    ("upgrade: {probation: 0}", "22: cannot use '0' as upgrade.probation: 0 does not mean off; write off"),
    ("upgrade: {canary: 10}", "19: cannot use '10' as upgrade.canary: a share is written in percent; write 10%"),
    ("upgrade: {canary: 0.1}", "19: cannot use '0.1' as upgrade.canary: a share is written in percent; write 10%"),
    ("upgrade: {canary: 0%}", "19: cannot use '0%' as upgrade.canary: 0 does not mean off; write off"),
    ("upgrade: {canary: 100%}", "19: cannot use '100%' as upgrade.canary: at most 99%"),
    ("upgrade: {canary: no}", "19: cannot use 'no' as upgrade.canary: write off"),
    ("upgrade: {canary: {share: 0.5%}}", "27: cannot use '0.5%' as upgrade.canary.share: at least 1%"),
    ("upgrade: {canary: {share: 0%}}", "27: cannot use '0%' as upgrade.canary.share: it cannot be 0"),
    ("upgrade: {canary: {share: off}}", "27: cannot use 'off' as upgrade.canary.share: it cannot be off"),
    (
        "upgrade: {canary: {share: 33.333%}}",
        "27: cannot use '33.333%' as upgrade.canary.share: at most two digits after the point",
    ),
    (
        "upgrade: {canary: {share: a tenth}}",
        "27: cannot use 'a tenth' as upgrade.canary.share: expected a share such as 10%",
    ),
    ("upgrade: {canary: {for_: 3s}}", "20: cannot use 'for_' in upgrade.canary: unknown key; did you mean 'for'?"),
    ("upgrade: {canary: {for: 30}}", "25: cannot use '30' as upgrade.canary.for: a duration needs a unit; write 30s"),
    ("upgrade: {mode: roling}", "17: cannot use 'roling' as upgrade.mode: did you mean 'rolling'?"),
    # Shapes
    ("limits: 3", "9: cannot use '3' as limits: expected a block of keys"),
    ("limits: [a]", "9: cannot use a list as limits: expected a block of keys"),
    ("workers: [1]", "10: cannot use a list as workers: expected one value"),
    ("workers: {a: b}", "10: cannot use a block of keys as workers: expected one value"),
    ("workers:", "9: cannot use an empty value as workers: leave the key out for its default"),
    ("env: 3", "6: cannot use '3' as env: expected a block of names and values"),
    ("env: {A: }", "9: cannot use an empty value as env.A: write '' for an empty one"),
    ("env: {A: [b]}", "10: cannot use a list as env.A: expected text"),
    ("env: {'A=B': c}", "14: cannot use 'c' as env.A=B: expected the name of a variable"),
    ('env: {A: "\\0"}', "10: cannot use '\\x00' as env.A: a variable cannot contain a NUL character"),
    # The application
    ("app2: x", "1: cannot use 'app2': unknown key; did you mean 'app'?"),
    # Durations
    ("timeouts: {boot: 30}", "18: cannot use '30' as timeouts.boot: a duration needs a unit; write 30s"),
    ("timeouts: {boot: -30}", "18: cannot use '-30' as timeouts.boot: a duration needs a unit; write 30s"),
    ("timeouts: {boot: 0}", "18: cannot use '0' as timeouts.boot: it cannot be 0"),
    ("timeouts: {boot: 0s}", "18: cannot use '0s' as timeouts.boot: it cannot be 0"),
    (
        "timeouts: {boot: 30 s}",
        "18: cannot use '30 s' as timeouts.boot: expected a duration such as 30s, 5m, 1h30m or 250ms",
    ),
    (
        "timeouts: {boot: 5min}",
        "18: cannot use '5min' as timeouts.boot: expected a duration such as 30s, 5m, 1h30m or 250ms",
    ),
    (
        "timeouts: {boot: 1:30}",
        "18: cannot use '1:30' as timeouts.boot: expected a duration such as 30s, 5m, 1h30m or 250ms",
    ),
    (
        "timeouts: {boot: 5s1m}",
        "18: cannot use '5s1m' as timeouts.boot: expected a duration such as 30s, 5m, 1h30m or 250ms",
    ),
    ("timeouts: {boot: ''}", "18: cannot use '' as timeouts.boot: expected a duration such as 30s, 5m, 1h30m or 250ms"),
    ("timeouts: {boot: 8d}", "18: cannot use '8d' as timeouts.boot: at most 7d"),
    ("timeouts: {boot: 0.1ms}", "18: cannot use '0.1ms' as timeouts.boot: at least 1ms"),
    ("timeouts: {drain: off}", "19: cannot use 'off' as timeouts.drain: it cannot be off"),
    ("upgrade: {standby: 0}", "20: cannot use '0' as upgrade.standby: 0 does not mean off; write off"),
    ("upgrade: {standby: 0s}", "20: cannot use '0s' as upgrade.standby: 0 does not mean off; write off"),
    ("upgrade: {standby: never}", "20: cannot use 'never' as upgrade.standby: write off"),
    # Sizes
    ("limits: {body: 0}", "16: cannot use '0' as limits.body: 0 does not mean unlimited; write unlimited"),
    ("limits: {body: off}", "16: cannot use 'off' as limits.body: write unlimited"),
    ("limits: {body: 10M}", "16: cannot use '10M' as limits.body: 'M' is not a unit; write 10MiB"),
    ("limits: {body: 10XB}", "16: cannot use '10XB' as limits.body: expected a size such as 8190, 64KiB or 1MiB"),
    ("limits: {body: -1}", "16: cannot use '-1' as limits.body: expected a size such as 8190, 64KiB or 1MiB"),
    ("limits: {body: 0.3KiB}", "16: cannot use '0.3KiB' as limits.body: not a whole number of bytes"),
    (
        f"limits: {{body: {'9' * 400}}}",
        f"16: cannot use '{'9' * 77}...' as limits.body: expected a size such as 8190, 64KiB or 1MiB",
    ),
    ("limits: {head: 1GiB}", "16: cannot use '1GiB' as limits.head: at most 16MiB"),
    ("limits: {head: 100}", "16: cannot use '100' as limits.head: at least 256"),
    ("limits: {head: unlimited}", "16: cannot use 'unlimited' as limits.head: it cannot be off"),
    # Numbers
    ("workers: 0", "10: cannot use '0' as workers: at least 1"),
    ("workers: -1", "10: cannot use '-1' as workers: at least 1"),
    ("workers: 2.5", "10: cannot use '2.5' as workers: expected a whole number or auto"),
    ("workers: 257", "10: cannot use '257' as workers: at most 256"),
    ("threads: auto", "10: cannot use 'auto' as threads: expected a whole number"),
    ("umask: 0999", "8: cannot use '0999' as umask: expected an octal mode such as 0660"),
    ("umask: 01000", "8: cannot use '01000' as umask: at most 0777"),
    # Words
    ("preload: maybe", "10: cannot use 'maybe' as preload: expected true, false or auto"),
    ("watch: cod", "8: cannot use 'cod' as watch: did you mean 'code'?"),
    ("watch: zzz", "8: cannot use 'zzz' as watch: expected off, release or code"),
    ("watch: no", "8: cannot use 'no' as watch: write off"),
    ("log: {level: 3}", "14: cannot use '3' as log.level: expected debug, info, warning or error"),
    ("user: a b", "7: cannot use 'a b' as user: expected a name or a number"),
    (
        "preload_modules: [a-b]",
        "19: cannot use 'a-b' in preload_modules: expected the dotted name of a module, such as mysite.urls",
    ),
    ("preload_modules: [[a]]", "19: cannot use a list in preload_modules: expected one value"),
    # Paths
    ("directory: ''", "12: cannot use '' as directory: it is empty"),
    (
        "directory: ~nobody-of-this-name/x",
        (
            "12: cannot use '~nobody-of-this-name/x' as directory: ~nobody-of-this-name has no home folder "
            "here; write the path in full"
        ),
    ),
    (
        "python: python3.12",
        "9: cannot use 'python3.12' as python: expected a path such as .venv/bin/python or /usr/bin/python3",
    ),
    ('env_file: "a\\tb"', "11: cannot use 'a\\tb' as env_file: control characters are not allowed here"),
    # The check
    ("upgrade: {check: healthz}", "18: cannot use 'healthz' as upgrade.check: expected a path; write /healthz"),
    ("upgrade: {check: 'http://x/'}", "18: cannot use 'http://x/' as upgrade.check: expected a path such as /healthz"),
    (
        "upgrade: {check: '/a b'}",
        (
            "18: cannot use '/a b' as upgrade.check: a path has no spaces, '#' or characters beyond ASCII; "
            "write them as %20 and so on"
        ),
    ),
    ("upgrade: {check: true}", "18: cannot use 'true' as upgrade.check: expected a path; write /true"),
    ("upgrade: {check: [/]}", "18: cannot use a list as upgrade.check: expected one value"),
    (
        "upgrade: {check: {expect: 2xx}}",
        "27: cannot use '2xx' as upgrade.check.expect: expected statuses such as 200 or 200-299,404",
    ),
    (
        "upgrade: {check: {expect: 299-200}}",
        "27: cannot use '299-200' as upgrade.check.expect: the range 299-200 is empty; write 200-299",
    ),
    (
        "upgrade: {check: {host: 'a b'}}",
        "25: cannot use 'a b' as upgrade.check.host: expected a host name such as www.example.org",
    ),
    ("upgrade: {check: {https: 3}}", "26: cannot use '3' as upgrade.check.https: expected true or false"),
    (
        "upgrade: {check: {headers: {A B: c}}}",
        "34: cannot use 'c' as upgrade.check.headers.A B: expected the name of a header field",
    ),
    ("upgrade: {check: {headers: {Host: c}}}", "35: cannot use 'c' as upgrade.check.headers.Host: use host for it"),
    (
        'upgrade: {check: {headers: {A: "b\\r\\nC: d"}}}',
        "32: cannot use 'b\\r\\nC: d' as upgrade.check.headers.A: control characters are not allowed here",
    ),
    # Addresses
    ("listen: []", "9: cannot use a list as listen: it is empty"),
    ("listen: [':80', '0.0.0.0:80']", "17: cannot use '0.0.0.0:80' in listen: it is given twice"),
    (
        "listen: {unx: /a}",
        "9: cannot use a block of keys as listen: expected HOST:PORT, unix:PATH, fd:NAME or a block with the key unix",
    ),
    ("listen: {unix: /a, md: 3}", "20: cannot use 'md' in listen: unknown key; did you mean 'mode'?"),
    ("listen: {unix: /a, mode: 8}", "26: cannot use '8' as mode in listen: expected an octal mode such as 0660"),
    ("listen: {unix: , mode: 0600}", "15: cannot use an empty value as unix in listen: it is required"),
    (
        "listen: 8000",
        (
            "9: cannot use '8000' as listen: the host is missing; write 127.0.0.1:8000 (this machine only) "
            "or :8000 (every IPv4 address)"
        ),
    ),
]


@pytest.mark.parametrize(("line", "problem"), BAD_LINES, ids=[line[:40] for line, _ in BAD_LINES])
def test_bad_line(tmp_path: Path, line: str, problem: str) -> None:
    assert refused(tmp_path, f"app: a:b\n{line}\n") == [f"releve.yaml:2:{problem}"]


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        ("mysite.wsgi", "the object is missing; write mysite.wsgi:application"),
        ("mysite/wsgi.py", "expected a module, not a file; write mysite.wsgi:application"),
        ("app.py:app", "expected a module, not a file; write app:app"),
        ("app:", "expected module:object, such as mysite.wsgi:application"),
        (":app", "expected module:object, such as mysite.wsgi:application"),
        ("a b:c", "expected module:object, such as mysite.wsgi:application"),
        ("a:b(x)", "expected module:object, such as mysite.wsgi:application"),
        ("3a:b", "expected module:object, such as mysite.wsgi:application"),
    ],
)
def test_bad_app(tmp_path: Path, app: str, reason: str) -> None:
    assert refused(tmp_path, f'app: "{app}"') == [f"releve.yaml:1:6: cannot use {app!r} as app: {reason}"]


def test_a_unix_socket_takes_mode_owner_and_group(tmp_path: Path) -> None:
    for mode in ("0660", "660", "0o660", "'0660'"):
        settings = loaded(tmp_path, f"app: a:b\nlisten: {{unix: /run/x, mode: {mode}, owner: me, group: 33}}")
        assert settings.listen == (Address("unix", path="/run/x", mode=0o660, owner="me", group="33"),)
