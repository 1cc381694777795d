"""Promise: the snippets of docs/proxies.md work with the proxies they are for, across an upgrade."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.service import Service, eventually, free_port, serving

PAGE = Path(__file__).parents[2] / "docs" / "proxies.md"
APP = """
import json


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({key: value for key, value in environ.items() if isinstance(value, str)}).encode()]
"""
FORGED = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/forged"}
CLIENT = "127.0.0.9"  # on this machine, but not the proxy's address, and not in the list


def snippet(name: str, **changes: str) -> str:
    """A piece of configuration as the page has it, its addresses replaced; every one must be there."""
    found = re.search(rf"<!-- snippet {name} -->\n```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert found, name
    text = found[1]
    for old, new in changes.items():
        assert text.count(old) == 1, (old, text)
        text = text.replace(old, new)
    return text


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@contextmanager
def service_of(root: Path, **settings: Any) -> Iterator[Service]:
    with serving(root, start=False, app="mirror:application", **settings) as service:
        service.release("one", mirror=APP)
        service.start()
        yield service


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        eventually(lambda: accepts(port) or process.poll() is not None, f"{command[0]} accepts")
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def accepts(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def told(port: int, path: str = "/", headers: dict[str, str] | None = None) -> dict[str, str]:
    """What the application is told of a request by ``CLIENT``."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(CLIENT, 0))) as connection:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        environ: dict[str, str] = json.loads(body)
        return environ


def test_nginx(tmp_path: Path) -> None:
    nginx, port = program("nginx"), free_port()
    with service_of(tmp_path / "service") as service:
        changes = {"unix:/run/site/http.sock": f"unix:{service.unix}", "8080": f"127.0.0.1:{port}"}
        user = "user root;" if Path("/proc/self").stat().st_uid == 0 else ""
        temporary = "".join(
            f"{name}_temp_path {tmp_path}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (tmp_path / "nginx.conf").write_text(
            f"{user} daemon off; worker_processes 1; pid {tmp_path}/pid; error_log {tmp_path}/errors; events {{}}\n"
            f"http {{ access_log off; {temporary}\n{snippet('nginx', **changes)}}}\n"
        )
        with running([nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], port):
            for _ in range(2):
                environ = told(port, headers=FORGED)
                assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["SCRIPT_NAME"]) == (
                    CLIENT,
                    "http",
                    "",
                )
                assert environ["HTTP_X_FORWARDED_FOR"] == f"198.51.100.7, {CLIENT}"
                service.do("upgrade")


def haproxy_config(folder: Path, part: str) -> Path:
    path = folder / "haproxy.cfg"
    path.write_text(
        "global\n    maxconn 100\ndefaults\n    timeout connect 5s\n    timeout client 30s\n    "
        f"timeout server 30s\n{part}\n"
    )
    return path


def test_haproxy_with_headers(tmp_path: Path) -> None:
    haproxy, port = program("haproxy"), free_port()
    with service_of(tmp_path / "service", proxy={"trusted": ["127.0.0.1"]}) as service:
        part = snippet(
            "haproxy-headers", **{":8080": f"127.0.0.1:{port}", "127.0.0.1:8000": f"127.0.0.1:{service.port}"}
        )
        with running([haproxy, "-db", "-f", str(haproxy_config(tmp_path, part))], port):
            for _ in range(2):
                environ = told(port, headers=FORGED)
                assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["SCRIPT_NAME"]) == (
                    CLIENT,
                    "http",
                    "",
                )
                service.do("upgrade")


@pytest.mark.parametrize("version", ["send-proxy-v2", "send-proxy"])
def test_haproxy_with_the_proxy_protocol(tmp_path: Path, version: str) -> None:
    haproxy, port = program("haproxy"), free_port()
    with service_of(
        tmp_path / "service", proxy={"trusted": ["127.0.0.1"], "protocol": "on"}, upgrade={"check": "/"}
    ) as service:
        changes = {
            ":8080": f"127.0.0.1:{port}",
            "127.0.0.1:8000": f"127.0.0.1:{service.port}",
            "send-proxy-v2": version,
        }
        config = haproxy_config(tmp_path, snippet("haproxy-protocol", **changes))
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(CLIENT, 0))
        with running([haproxy, "-db", "-f", str(config)], port), closing(kept):
            for _ in range(3):
                environ = told(port, headers=FORGED)
                assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["SCRIPT_NAME"]) == (
                    CLIENT,
                    "http",
                    "",
                )
                kept.request("GET", "/")
                assert json.loads(kept.getresponse().read())["REMOTE_ADDR"] == CLIENT, (
                    "also the one that has changed hands"
                )
                service.do("upgrade")
    assert service.log().count("refused a connection") == 0, "the check of an upgrade needs no header"
