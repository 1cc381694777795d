"""What workers may say to their master: a worker that says anything else is passed over, and costs the master
nothing.
"""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.master import APP, Master
from releve.server.prefork.words import WORDS
from releve.server.shared import form
from releve.server.shared.form import Unfit

# A worker sends what it is told on its own control pair, as often as it is told.
HOSTILE = """
import gc, json, select, socket
calm = application
def insist(send, sock, *what):
    while True:  # its queue holds ten messages, and the master takes its time
        try:
            return send(*what)
        except BlockingIOError:
            room = select.poll()
            room.register(sock, select.POLLOUT)
            room.poll()
def application(environ, start_response):
    if environ["PATH_INFO"] == "/say":
        from releve.server.shared.link import Link
        link, = [one for one in gc.get_objects() if isinstance(one, Link) and one.socket.fileno() >= 0][:1]
        fd = os.open("/dev/null", os.O_RDONLY)
        for said in (
            {"type": "state", "state": "gone"}, {"type": "state", "state": ["paused"]},
            {"type": "state", "state": "serving", "given": "x"}, {"type": "state", "state": "booting"},
            {"type": "failed", "reason": 7}, {"type": "mixed", "files": 5},
            {"type": "reopened", "id": []}, {"type": "recycle", "reason": {}}, {"type": []}, [], 7,
            {"type": "state"}, {"type": "state", "state": "paused", "kept": 10**30},
        ):
            insist(socket.send_fds, link.socket, link.socket, [json.dumps(said).encode()], [fd] * 3)
        for junk in (b"", b"\\xff", b"[" * 90000, b'{"type": NaN'):
            insist(link.socket.send, link.socket, junk)
        os.close(fd)
    return calm(environ, start_response)
"""

KEYS = st.sampled_from(["state", "given", "kept", "reason", "files", "id", "step"])


@given(st.dictionaries(KEYS, st.integers() | st.text() | st.lists(st.integers())))
def test_what_is_read_has_its_form(said: dict[str, Any]) -> None:
    for kind, one in WORDS.items():
        try:
            word = form.read(WORDS, {"type": kind, **said}, ())
        except Unfit:
            continue
        assert word is not None and set(one.needs) <= set(word)
        for key, read in {**one.needs, **one.may}.items():
            assert key not in word or read(word[key]) == word[key]


def test_a_master_outlives_whatever_its_workers_say(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP + HOSTILE)
    with Master(tmp_path) as master:
        pids = master.up(workers=2)
        for _ in range(4):
            host, port = master.listener.getsockname()[:2]
            client = http.client.HTTPConnection(host, port, timeout=20)
            client.request("GET", "/say")
            assert client.getresponse().status == 200
            client.close()
        assert master.pids("serving") == pids
        assert master.done("scale", workers=3)["workers"] == 3
        master.pause()
        assert master.done("resume")["workers"] == 3
