"""An address that appears late: the first start waits for it (``timeouts.bind``); an upgrade does not."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from harness.service import PATIENCE_S, PYTHON, Service, eventually, serving

WAITS = "(timeouts.bind)"
MISSING = [name for name in ("ip", "unshare", "nsenter") if shutil.which(name) is None]


def waits(service: Service) -> None:
    eventually(lambda: WAITS in service.log(), "it waits for the address")


def test_the_first_start_waits_for_an_address_that_another_process_holds(tmp_path: Path) -> None:
    """As gunicorn does, which tries five times: the server before this one may be on its way out."""
    with serving(tmp_path, start=False) as service:
        service.configure(timeouts={"bind": "60s"})
        with socket.socket() as other:
            other.bind(("127.0.0.1", service.port))
            other.listen()
            service.start(wait=False)
            waits(service)
        eventually(service.is_serving, "the service serves")
        assert service.log().count(WAITS) == 1


@pytest.mark.parametrize(("bind", "tried"), [("300ms", 1), ("off", 0)])
def test_it_waits_no_longer_than_it_is_told(bind: str, tried: int, tmp_path: Path) -> None:
    with serving(tmp_path, start=False) as service, socket.socket() as other:
        service.configure(timeouts={"bind": bind})
        other.bind(("127.0.0.1", service.port))
        other.listen()
        service.start(wait=False)
        assert service.process is not None
        assert service.process.wait(PATIENCE_S) == 4
        assert service.log().count(WAITS) == tried
        assert "failed: cannot listen on 127.0.0.1" in service.log()


@pytest.mark.root
@pytest.mark.skipif(
    os.geteuid() != 0 or bool(MISSING),
    reason=f"needs root for a network of its own, and ip, unshare, nsenter {MISSING}",
)
def test_the_first_start_waits_for_an_address_that_this_host_does_not_have_yet(tmp_path: Path) -> None:
    with serving(tmp_path, start=False) as service:
        service.configure(listen=[f"unix:{service.unix}", f"10.77.0.1:{service.port}"], timeouts={"bind": "60s"})
        command = [
            "unshare",
            "--net",
            "sh",
            "-c",
            'ip link set lo up && exec "$@"',
            "sh",
            PYTHON,
            "-m",
            "releve",
            "-c",
            str(service.file),
        ]
        with service.log_file.open("ab") as log:
            service.process = subprocess.Popen(
                command,
                cwd=tmp_path,
                env=service.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        waits(service)
        inside = ["nsenter", "-t", str(service.pid), "-n"]
        subprocess.run([*inside, "ip", "address", "add", "10.77.0.1/24", "dev", "lo"], check=True)
        eventually(service.is_serving, "the service serves")
        subprocess.run([*inside, "ip", "address", "delete", "10.77.0.1/24", "dev", "lo"], check=True)
        service.must("upgrade")  # what is held is kept
        service.configure(listen=[f"unix:{service.unix}", f"10.77.0.2:{service.port}"])
        refused = service.ctl("upgrade")
        assert refused.returncode == 4 and "cannot listen on 10.77.0.2" in refused.stderr
        assert service.log().count(WAITS) == 1
