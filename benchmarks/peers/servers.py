"""The servers that are compared: how each is installed, and started on one port."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
USER = "user root;" if os.geteuid() == 0 else ""  # of nginx: it has to read what we wrote
CACHE = ROOT / ".cache" / "bench"


@dataclass(frozen=True)
class Server:
    """``command`` has ``{bin}`` (of its virtual environment), ``{port}`` and ``{app}`` (a module of this
    folder) in it.
    """

    name: str
    packages: tuple[str, ...]
    command: tuple[str, ...]
    note: str = ""
    config: str = ""  # written to ``{home}/config`` before it starts
    program: str = ""  # of the system, instead of packages

    @property
    def box(self) -> Path:
        """Its virtual environment."""
        return CACHE / self.name

    def install(self) -> str | None:
        """Make the virtual environment, once. Returns why that cannot be done, if it cannot."""
        if self.program:
            return None if shutil.which(self.program) else f"{self.program} is not there (a package of the system)"
        wanted = " ".join(("django", *self.packages))
        marker = self.box / "installed"
        ours = str(ROOT) in self.packages  # the working tree may have changed
        if marker.exists() and marker.read_text() == wanted and not ours:
            return None
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", self.box], capture_output=True, text=True)
        if made.returncode == 0:
            made = subprocess.run(
                [self.box / "bin" / "pip", "install", "-q", *wanted.split()], capture_output=True, text=True
            )
        if made.returncode != 0:
            return (made.stderr.strip().splitlines() or ["no reason given"])[-1]
        marker.write_text(wanted)
        return None

    def argv(self, app: str, port: int, home: Path) -> list[str]:
        """The command line; ``home`` is a folder for what the server writes."""
        if self.config:
            (home / "config").write_text(
                self.config.replace("{port}", str(port)).replace("{home}", str(home)).replace("{user}", USER)
            )
            (home / "large").write_bytes(b"x" * 102_400)
        return [part.format(bin=self.box / "bin", port=port, app=app, home=home) for part in self.command]


NGINX = """
{user}
daemon off;
worker_processes 1;
pid {home}/pid;
error_log stderr;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    default_type text/plain;
    server {
        listen 127.0.0.1:{port};
        location = /large { alias {home}/large; }
        location / { return 200 "Hello, world\\n"; }
    }
}
"""

# Before the servers of the load `nginx`, with nothing but what it needs to run here. Its folder is inside the server's.
FRONT = Server(
    "front",
    (),
    ("nginx", "-p", "{home}", "-c", "{home}/config"),
    "nginx as a proxy, at its defaults: HTTP/1.0 and a new connection for each request",
    """
{user}
daemon off;
pid {home}/pid;
error_log stderr;
events { }
http {
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {
        listen 127.0.0.1:{port};
        location / { proxy_pass http://unix:{home}/../socket; }
    }
}
""",
    "nginx",
)

SERVERS = (
    Server(
        "releve",
        (str(ROOT),),
        ("{bin}/releve", "-w", "1", "--threads", "8", "-b", "127.0.0.1:{port}", "{app}:application"),
        "one worker, 8 threads, everything on: access log into a file, scoreboard, timeouts, strict parsing",
    ),
    Server(
        "gunicorn-sync",
        ("gunicorn",),
        ("{bin}/gunicorn", "-w", "1", "-b", "127.0.0.1:{port}", "{app}:application"),
        "no access log",
    ),
    Server(
        "gunicorn-gthread",
        ("gunicorn",),
        ("{bin}/gunicorn", "-w", "1", "--threads", "8", "-b", "127.0.0.1:{port}", "{app}:application"),
        "8 threads, no access log",
    ),
    Server(
        "granian",
        ("granian",),
        (
            "{bin}/granian",
            "--interface",
            "wsgi",
            "--port",
            "{port}",
            "--workers",
            "1",
            "--blocking-threads",
            "8",
            "--no-ws",
            "{app}:application",
        ),
        "8 blocking threads, no access log",
    ),
    Server(
        "bjoern",
        ("bjoern",),
        ("{bin}/python", str(HERE / "run_bjoern.py"), "{app}", "{port}"),
        "C, one thread, no access log",
    ),
    Server(
        "fastwsgi",
        ("fastwsgi",),
        ("{bin}/fastwsgi", "--port", "{port}", "{app}:application"),
        "C, one thread, no access log",
    ),
    Server(
        "waitress",
        ("waitress",),
        ("{bin}/waitress-serve", "--listen=127.0.0.1:{port}", "--threads=8", "{app}:application"),
        "8 threads",
    ),
    Server("cheroot", ("cheroot",), ("{bin}/cheroot", "--bind", "127.0.0.1:{port}", "{app}:application"), "10 threads"),
    Server(
        "uwsgi",
        ("uwsgi",),
        (
            "{bin}/uwsgi",
            "--http-socket",
            "127.0.0.1:{port}",
            "--module",
            "{app}:application",
            "--threads",
            "8",
            "--disable-logging",
            "--master",
        ),
        "8 threads, no log, HTTP without keep-alive",
    ),
    Server(
        "nginx",
        (),
        ("nginx", "-p", "{home}", "-c", "{home}/config"),
        "the ceiling: `return 200`, C, no application, no access log",
        NGINX,
        "nginx",
    ),
)
# Those of the load `nginx`: the same programs, on a Unix socket.
BEHIND = (
    Server(
        "releve",
        (str(ROOT),),
        ("{bin}/releve", "-w", "1", "--threads", "8", "-b", "unix:{home}/socket", "{app}:application"),
    ),
    Server(
        "gunicorn-gthread",
        ("gunicorn",),
        ("{bin}/gunicorn", "-w", "1", "--threads", "8", "-b", "unix:{home}/socket", "{app}:application"),
    ),
    Server(
        "granian",
        ("granian",),
        (
            "{bin}/granian",
            "--interface",
            "wsgi",
            "--uds",
            "{home}/socket",
            "--workers",
            "1",
            "--blocking-threads",
            "8",
            "--no-ws",
            "{app}:application",
        ),
    ),
)
