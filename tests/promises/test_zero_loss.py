"""Promise: no request is lost; not by upgrades, reloads, rollbacks, and not behind a proxy."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.load import strictly
from harness.service import Service, eventually, free_port, serving

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
TOKEN = "0123456789abcdefghijklmnopqrstuv"  # Django compares the cookie with the form field; both are ours
CSRF = {"Cookie": f"csrftoken={TOKEN}", "Content-Type": "application/x-www-form-urlencoded"}
SIGNED = f"csrfmiddlewaretoken={TOKEN}&name=strict&text="
SITE = [
    {"method": "GET", "target": "/healthz", "weight": 10, "body": None, "echo": "none"},
    {"method": "GET", "target": "/?q={nonce}", "weight": 2, "body": None, "echo": "none"},
    # An entry without a text is refused, and the answer shows the form again with the name that was sent.
    {
        "method": "POST",
        "target": "/",
        "weight": 5,
        "headers": CSRF,
        "body": f"csrfmiddlewaretoken={TOKEN}&text=&name={{nonce}}",
        "pad": 0,
        "echo": "contains",
        "statuses": [422],
    },
    {
        "method": "POST",
        "target": "/",
        "weight": 1,
        "headers": CSRF,
        "body": SIGNED + "{nonce}",
        "pad": 0,
        "echo": "none",
        "statuses": [302],
    },
]


class Site:
    """The Django example, release after release; its database outlives them."""

    def __init__(self, root: Path) -> None:
        pytest.importorskip("django", reason="the Django example needs Django")
        self.database = root / "site.sqlite3"
        self.service = Service(root, app="mysite.wsgi:application", env={"SITE_DATABASE": str(self.database)})
        self.release("one")
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=self.service.current,
            env={**self.service.environment, "SITE_DATABASE": str(self.database)},
            check=True,
        )

    def release(self, name: str) -> None:
        """Deploy the example under that name."""
        folder = self.service.releases / name
        shutil.copytree(
            EXAMPLES / "django_site", folder, ignore=shutil.ignore_patterns("*.sqlite3*", "__pycache__", "releve.yaml")
        )
        settings = folder / "mysite" / "settings.py"
        settings.write_text(settings.read_text().replace('RELEASE = "one"', f'RELEASE = "{name}"'))
        self.service.flip(name)

    def entries(self) -> list[str]:
        """The texts of all entries, as often as they were written."""
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            return [row[0] for row in database.execute("SELECT text FROM guestbook_entry")]


@contextlib.contextmanager
def django(root: Path) -> Iterator[Site]:
    site = Site(root)
    site.service.configure()
    try:
        site.service.start()
        yield site
        site.service.stop()
    except BaseException:
        print(f"--- log of the service\n{site.service.log()[-12_000:]}\n---")
        raise
    finally:
        site.service.kill()


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("upgrades", "rollbacks", "requests", "clients"),
    [
        pytest.param(2, 1, 400, 16, id="2"),
        pytest.param(20, 5, 20_000, 60, id="20", marks=[pytest.mark.soak, pytest.mark.timeout(1200)]),
    ],
)
def test_upgrades_reloads_and_rollbacks_of_the_django_example(
    tmp_path: Path, upgrades: int, rollbacks: int, requests: int, clients: int
) -> None:
    """With the default settings, over TCP and a Unix socket: nothing fails, and every form that was sent is stored
    once.
    """
    done = {"upgrade": 0, "reload": 0, "rollback": 0}
    with django(tmp_path) as site:
        service = site.service

        def do(verb: str, to: int | None = None) -> None:
            if to is not None:
                load.begin(to)
            service.do(verb)
            if to is not None:
                load.done(to)
                assert service.serving() == to
            done[verb] += 1

        serves = newest = 1
        with strictly(
            *service.addresses, serving=1, clients=clients, think=10.0, think_mean=0.13, templates=SITE
        ) as load:
            while done["upgrade"] < upgrades or load.report()["answered"] < requests:
                site.release(f"release-{newest + 1}")
                newest += 1
                do("upgrade", newest)
                if done["reload"] < upgrades:
                    do("reload")
                if done["rollback"] < rollbacks:
                    do("rollback", serves)
                else:
                    serves = newest
            report = load.stop()
        assert done["upgrade"] >= upgrades
        assert (done["reload"], done["rollback"]) == (upgrades, rollbacks)
        assert report["sent"] == report["answered"] >= requests
        assert len(report["by_generation"]) >= upgrades
        stored = site.entries()
        assert len(stored) == len(set(stored)) == report["by_template"]["3"], "a form was stored twice or not at all"
        print(
            report["answered"],
            "requests,",
            done,
            report["seconds"],
            report["connects"],
            "connects",
            report["announced_closes"],
            "announced closes",
        )


def test_a_thousand_idle_connections_survive(tmp_path: Path) -> None:
    """They stay open through an upgrade, a reload and a rollback, and whoever serves then answers each."""
    with serving(tmp_path) as service, strictly(*service.addresses, serving=1, rounds=True, clients=1000) as load:
        load.say("wait 1000")
        service.release("two")
        service.flip("two")
        load.begin(2)
        service.do("upgrade")
        load.done(2)
        load.round()
        service.do("reload")
        load.round()
        load.begin(1)
        service.do("rollback")
        load.done(1)
        report = load.round()
        assert report["by_generation"] == {"1": 2000, "2": 2000}
        assert report["connects"] == 1000
        assert report["announced_closes"] == 0


def test_scaling_under_load(tmp_path: Path) -> None:
    with serving(tmp_path) as service, strictly(*service.addresses, serving=1, clients=24, think=2.0) as load:
        for workers in (4, 1, 3, 2):
            service.do("scale", workers=str(workers))
            eventually(lambda wanted=workers: len(service.workers()) == wanted, "those that were scaled away have left")  # type: ignore[misc]
            load.wait(50)
        assert load.report()["announced_closes"] == 0


def test_half_sent_requests_change_hands(tmp_path: Path) -> None:
    """Nearly every request comes in two parts: what was read of it before the switch goes along with its connection."""
    options: dict[str, Any] = {"clients": 80, "think": 1.0, "think_mean": 0.06, "split": 0.9}
    with serving(tmp_path) as service, strictly(*service.addresses, serving=1, **options) as load:
        for generation in (2, 3):
            load.begin(generation)
            service.do("upgrade")
            load.done(generation)
            service.do("reload")


def test_requests_in_flight_and_streams_survive(tmp_path: Path) -> None:
    """What began at the old generation ends there, however long it takes, whole."""
    slow = [
        {"method": "GET", "target": "/slow?s=1.5", "weight": 1, "body": None, "echo": "header"},
        {"method": "GET", "target": "/stream?n=30&s=0.05", "weight": 1, "body": None, "echo": "header"},
    ]
    with (
        serving(tmp_path, upgrade={"standby": "off"}) as service,
        strictly(*service.addresses, serving=1, clients=12, templates=slow, least=6) as load,
    ):
        for generation in (2, 3):
            load.begin(generation)
            service.do("upgrade")
            load.done(generation)
        service.do("reload")


def test_a_stop_answers_what_has_begun(tmp_path: Path) -> None:
    """In flight, queued and idle: each gets its answer; only then the doors are shut."""
    with serving(tmp_path, timeouts={"linger": "2s"}) as service:
        slow = [{"method": "GET", "target": "/slow?s=0.6", "weight": 1, "body": None, "echo": "header"}]
        with strictly(*service.addresses, serving=1, rounds=True, clients=40, templates=slow) as load:
            eventually(lambda: sum(w["busy"] for w in service.generation()["workers"]) >= 8, "requests are in flight")
            assert service.ask("stop")["status"] == 0  # ctl may take longer to start than the requests last
            load.say("wait 40")
            report = load.report()
        assert report["answered"] == 40
        assert service.process is not None
        assert service.process.wait(10) == 0
        service.gone()


# other people's clients: they know nothing of generations, and count errors in their own way

CYCLES = 2
LONGEST_S = 90  # they are interrupted when the deploys are done


def deploy(service: Service) -> None:
    """An upgrade, a reload and a rollback, while something else runs, which takes all of a processor."""
    name = "r00"  # as long as the first one: ab calls answers of another length failed
    service.release(name)
    service.flip(name)
    service.do("upgrade")
    service.do("reload")
    service.do("rollback")


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


# One of them keeps connections and the other one does not; `make soak` has both do both.
@pytest.mark.parametrize(
    "keep", [pytest.param(True, id="keep-alive", marks=pytest.mark.soak), pytest.param(False, id="connect anew")]
)
def test_ab(tmp_path: Path, keep: bool) -> None:
    ab = program("ab")
    with serving(tmp_path, release="r99") as service:
        url = f"http://127.0.0.1:{service.port}/late"
        command = [ab, *(["-k"] if keep else []), "-t", str(LONGEST_S), "-n", "10000000", "-c", "8", "-s", "20", url]
        said = while_deploying(service, command)
        assert int(re.findall(r"Complete requests:\s+(\d+)", said)[0]) > 100, said
        assert re.findall(r"Failed requests:\s+(\d+)", said) == ["0"], said
        assert "Non-2xx" not in said, said
        assert "apr_" not in said, said


@pytest.mark.parametrize(
    "keep", [pytest.param(True, id="keep-alive"), pytest.param(False, id="connect anew", marks=pytest.mark.soak)]
)
def test_wrk(tmp_path: Path, keep: bool) -> None:
    wrk = program("wrk")
    with serving(tmp_path, release="r99") as service:
        command = [
            wrk,
            "-t",
            "1",
            "-c",
            "8",
            "-d",
            f"{LONGEST_S}s",
            "--timeout",
            "20s",
            *([] if keep else ["-H", "Connection: close"]),
        ]
        said = while_deploying(service, [*command, f"http://127.0.0.1:{service.port}/late"])
        assert int(re.findall(r"(\d+) requests in", said)[0]) > 100, said
        assert "Socket errors" not in said, said
        assert "Non-2xx" not in said, said


def while_deploying(service: Service, command: list[str]) -> str:
    """Run a load generator until the deploys are done; its report.

    It is nicer than they are, and leaves them some processor.
    """
    process = subprocess.Popen(
        ["nice", "-n", "10", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        eventually(lambda: sum(w["requests"] for w in service.generation()["workers"]) > 100, "the load has begun")
        deploy(service)
        assert process.poll() is None, f"the load ended before the deploys did: {process.communicate()[0]}"
        process.send_signal(signal.SIGINT)
        return process.communicate(timeout=30)[0]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


NGINX = """
{user}
daemon off;
worker_processes 1;
pid {root}/nginx.pid;
error_log {root}/nginx.log info;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    upstream tcp {{ server 127.0.0.1:{upstream}; keepalive 16; }}
    upstream unix {{ server unix:{unix}; keepalive 16; }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_next_upstream off;
    server {{ listen 127.0.0.1:{one}; location / {{ proxy_pass http://tcp; }} }}
    server {{ listen 127.0.0.1:{two}; location / {{ proxy_pass http://unix; }} }}
}}
"""


def test_nginx_in_front(tmp_path: Path) -> None:
    """Its pools of kept connections to us, never retried, never give a 502."""
    nginx = program("nginx")
    with serving(tmp_path / "service") as service:
        one, two = free_port(), free_port()
        folder = tmp_path / "nginx"
        folder.mkdir()
        user = "user root;" if Path("/proc/self").stat().st_uid == 0 else ""
        (folder / "nginx.conf").write_text(
            NGINX.format(root=folder, upstream=service.port, unix=service.unix, one=one, two=two, user=user)
        )
        process = subprocess.Popen(
            [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL
        )
        try:
            eventually(lambda: accepts(service, one) and accepts(service, two), "nginx accepts")
            with strictly(
                f"tcp:127.0.0.1:{one}", f"tcp:127.0.0.1:{two}", serving=1, unordered=True, clients=24, think=2.0
            ) as load:
                for number in range(2, 2 + CYCLES):
                    load.begin(number)
                    service.do("upgrade")
                    load.done(number)
                    service.do("reload")
                load.begin(CYCLES)
                service.do("rollback")
                load.done(CYCLES)
                load.wait(100)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{(folder / 'nginx.log').read_text()[-4000:]}") from error
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(10)


def accepts(service: Service, port: int) -> bool:
    try:
        return service.request("GET", "/echo", port=port)[0] == 200
    except OSError:
        return False
