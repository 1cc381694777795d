"""The loads: what wrk asks for, and what asks beside it."""

from __future__ import annotations

from dataclasses import dataclass

BROWSER = """
local n = 0
request = function()
  n = n + 1
  return "GET /page/" .. n .. "?x=1 HTTP/1.1\\r\\nHost: www.example.org\\r\\n" ..
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\\r\\n" ..
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\\r\\n" ..
    "Accept-Language: en-US,en;q=0.5\\r\\nAccept-Encoding: gzip, deflate, br, zstd\\r\\n" ..
    "Referer: https://www.example.org/\\r\\n" ..
    "Connection: keep-alive\\r\\nCookie: sessionid=" .. n .. "; csrftoken=abcdef0123456789\\r\\n" ..
    "Upgrade-Insecure-Requests: 1\\r\\n" ..
    "Sec-Fetch-Dest: document\\r\\nSec-Fetch-Mode: navigate\\r\\nX-Request-ID: " .. n .. "\\r\\n\\r\\n"
end
"""
# Every line differs in every request, so that nothing of a head can be remembered.
DIFFERENT = (
    BROWSER.replace("; rv:128.0", '; rv:" .. n .. "')
    .replace("en;q=0.5", 'en;v=" .. n .. "')
    .replace("text/html,", 'text/html;v=" .. n .. ",')
    .replace("gzip, deflate", 'gzip;v=" .. n .. ", deflate')
    .replace("//www.example.org/\\r", '//www.example.org/" .. n .. "\\r')
    .replace("Requests: 1", 'Requests: " .. n .. "')
    .replace("document", 'document" .. n .. "')
    .replace("navigate", 'navigate" .. n .. "')
)
POST = """
wrk.method = "POST"
wrk.body = string.rep("x", 1024)
"""
CLOSE = """
wrk.headers["Connection"] = "close"
"""


@dataclass(frozen=True)
class Load:
    """``beside`` is a path that ``clients`` ask for one request after the other, all the time."""

    name: str
    what: str
    script: str = ""
    path: str = "/"
    connections: int = 64
    beside: str = ""
    clients: int = 0
    app: str = "small"


LOADS = (
    Load("bare", "one header"),
    Load("browser", "twelve headers; path, cookie and request id differ from request to request", BROWSER),
    Load("different", "the same, and every line of the head differs", DIFFERENT),
    Load("post", "a body of 1 KiB", POST),
    Load("large", "a response of 100 KiB", path="/large"),
    Load("new", "a new connection for each request", CLOSE),
    Load("django", "a page of Django: middlewares, a template with fifty rows", app="page", connections=16),
    Load("sleeping", "bare, beside eight calls that sleep 100 ms", connections=16, beside="/sleep", clients=8),
    Load("computing", "bare, beside four calls of 50 ms of pure Python", connections=16, beside="/cpu", clients=4),
)
