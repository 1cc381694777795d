"""A real browser stays on a page through upgrades: its requests go on, on the connections that it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.browser import CHROMIUM, browsing
from harness.service import serving

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian: apt-get install chromium)")

AT_ONCE = 6  # connections of Chromium to one host

APPLICATION = '''
import json, os

from release import RELEASE

PAGE = b"""<!doctype html><title>shop</title><link rel=stylesheet href=/style><img src=/image><p id=shown>
<script>
let going = true, failed = [], answered = {};
async function buy() {
  while (going) {
    try {
      const body = new Uint8Array(20000);
      const sent = Math.random() < 0.2 ? {method: "POST", body} : {};
      const answer = await fetch("/api", {cache: "no-store", ...sent});
      const said = await answer.json();
      const whole = said.read === (sent.body ? body.length : 0) && said.filler.length === 5000;
      if (answer.status !== 200 || !whole) throw Error(answer.status);
      shown.textContent = said.release;
      answered[said.release] = (answered[said.release] || 0) + 1;
    } catch (error) {
      failed.push(String(error));
    }
    await new Promise(done => setTimeout(done, Math.random() * 10));
  }
}
const all = Promise.all([buy(), buy(), buy(), buy()]);
</script>
"""
FILES = {
    "/": ("text/html", PAGE),
    "/style": ("text/css", b"p { color: teal }"),
    "/image": (
        "image/svg+xml",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9' height='9'/></svg>",
    ),
    "/favicon.ico": ("image/x-icon", b""),
}


def application(environ, start_response):
    kind, body = FILES.get(environ["PATH_INFO"], ("application/json", None))
    if body is None:
        read = len(environ["wsgi.input"].read())
        body = json.dumps({"release": RELEASE, "read": read, "filler": "x" * 5000}).encode()
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body))), ("X-Release", RELEASE)])
    return [body]
'''


def test_a_page_goes_on_asking_through_upgrades(tmp_path: Path) -> None:
    with serving(tmp_path, start=False, workers=2) as service, browsing(tmp_path) as browser:
        for name in ("one", "two", "three"):
            service.release(name, app=APPLICATION)
        service.start()
        browser.open(f"http://127.0.0.1:{service.port}/")
        browser.eventually("answered.one > 20")
        for name in ("two", "three"):
            service.flip(name)
            service.must("upgrade")
            browser.eventually(f"answered.{name} > 20")
        assert browser.run("going = false; all.then(() => failed)") == []
    assert browser.said("Network.loadingFailed") == []
    answers = [one["response"] for one in browser.said("Network.responseReceived")]
    assert [(one["url"], one["status"]) for one in answers if one["status"] != 200] == []
    by_connection: dict[int, set[str]] = {}
    for one in answers:
        by_connection.setdefault(one["connectionId"], set()).add(one["headers"]["X-Release"])
    assert len(by_connection) <= AT_ONCE, by_connection  # none was closed, for another one to take its place
    assert {"one", "two", "three"} in by_connection.values(), by_connection
