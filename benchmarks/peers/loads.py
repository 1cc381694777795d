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
# What nginx sends on by default (`proxy_pass` and nothing else): Host and Connection are its own, the rest the client's
# in their order.
NGINX_DEFAULT = """
local n = 0
request = function()
  n = n + 1
  return "GET /page/" .. n .. "?x=1 HTTP/1.0\\r\\nHost: app\\r\\nConnection: close\\r\\n" ..
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\\r\\n" ..
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\\r\\n" ..
    "Accept-Language: en-US,en;q=0.5\\r\\nAccept-Encoding: gzip, deflate, br, zstd\\r\\n" ..
    "Referer: https://www.example.org/\\r\\n" ..
    "Cookie: sessionid=" .. n .. "; csrftoken=abcdef0123456789\\r\\n" ..
    "Upgrade-Insecure-Requests: 1\\r\\nPriority: u=0, i\\r\\n\\r\\n"
end
"""
# A proxy's connections: any of them may carry any client's next request. The clients are made once; what differs
# between two requests of one client is its path.
MIXED = """
local browsers = {
  {"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
   "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
   "Accept-Language: %s", "Accept-Encoding: gzip, deflate, br, zstd", "Referer: %s", "Cookie: %s",
   "Upgrade-Insecure-Requests: 1", "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate",
   "Sec-Fetch-Site: same-origin", "Priority: u=0, i"},
  {'sec-ch-ua: "Chromium";v="126", "Google Chrome";v="126", "Not-A.Brand";v="8"', "sec-ch-ua-mobile: ?0",
   'sec-ch-ua-platform: "Windows"', "Upgrade-Insecure-Requests: 1",
   "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) " ..
   "Chrome/126.0.0.0 Safari/537.36",
   "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
   "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1", "Sec-Fetch-Dest: document",
   "Referer: %s", "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: %s", "Cookie: %s"},
  {"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Sec-Fetch-Site: same-origin",
   "Cookie: %s", "Sec-Fetch-Dest: document", "Accept-Language: %s", "Sec-Fetch-Mode: navigate",
   "User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) " ..
   "Version/17.5 Mobile/15E148 Safari/604.1", "Referer: %s", "Accept-Encoding: gzip, deflate, br"},
}
local languages = {
  "en-US,en;q=0.5", "en-GB,en;q=0.9", "de,en-US;q=0.7,en;q=0.3", "fr-FR,fr;q=0.9", "es-ES,es;q=0.9,en;q=0.8",
  "pl-PL,pl;q=0.9,en-US;q=0.8", "ja-JP,ja;q=0.9", "pt-BR,pt;q=0.9,en;q=0.8",
}
local clients = {}
for number = 1, 2000 do
  local lines = {"Host: www.example.org", "X-Forwarded-Proto: https",
    "X-Forwarded-For: 203.0." .. number % 250 .. "." .. 1 + math.floor(number / 250)}
  local values = {
    ["Referer: %s"] = "https://www.example.org/page/" .. number % 97,
    ["Accept-Language: %s"] = languages[1 + number % #languages],
    ["Cookie: %s"] = string.format("sessionid=%032x; csrftoken=%032x", number * 7919, number * 104729),
  }
  for _, line in ipairs(browsers[1 + number % #browsers]) do
    lines[#lines + 1] = values[line] and line:format(values[line]) or line
  end
  clients[number] = table.concat(lines, "\\r\\n") .. "\\r\\n"
end
local form = "Content-Type: application/x-www-form-urlencoded\\r\\nContent-Length: 1024\\r\\n\\r\\n" ..
  string.rep("x", 1024)
local n = 0
math.randomseed(1)
request = function()
  n = n + 1
  local client = clients[math.random(#clients)]
  if n % 10 == 0 then
    return "POST /form/" .. n % 50 .. " HTTP/1.1\\r\\n" .. client .. form
  end
  return "GET /page/" .. n % 5000 .. "?x=1 HTTP/1.1\\r\\n" .. client .. "\\r\\n"
end
"""


@dataclass(frozen=True)
class Load:
    """``beside`` is a path that ``clients`` ask for one request after the other, all the time.

    ``behind``: through nginx, which asks the servers over a Unix socket. ``environment``: variables that all servers
    get, and Relève reads.
    """

    name: str
    what: str
    script: str = ""
    path: str = "/"
    connections: int = 64
    beside: str = ""
    clients: int = 0
    app: str = "small"
    behind: bool = False
    environment: tuple[tuple[str, str], ...] = ()


LOADS = (
    Load("bare", "one header"),
    Load("browser", "twelve headers; path, cookie and request id differ from request to request", BROWSER),
    Load("different", "the same, and every line of the head differs", DIFFERENT),
    Load(
        "mixed",
        "a proxy's connections: 2,000 clients, three browsers, one request in ten a POST of 1 KiB, X-Forwarded-For",
        MIXED,
        environment=(("RELEVE_PROXY_TRUSTED", "127.0.0.1"),),
    ),
    Load("post", "a body of 1 KiB", POST),
    Load("large", "a response of 100 KiB", path="/large"),
    Load("new", "a new connection for each request", CLOSE),
    Load(
        "new10", "what nginx sends by default: HTTP/1.0, ten headers, a new connection for each request", NGINX_DEFAULT
    ),
    Load("nginx", "the browser load through nginx as it is, which opens a Unix socket for each", BROWSER, behind=True),
    Load("django", "a page of Django: middlewares, a template with fifty rows", app="page", connections=16),
    Load("sleeping", "bare, beside eight calls that sleep 100 ms", connections=16, beside="/sleep", clients=8),
    Load("computing", "bare, beside four calls of 50 ms of pure Python", connections=16, beside="/cpu", clients=4),
)
