"""The application of the benchmark: ``/large`` has 100 KiB, ``/sleep`` takes 100 ms, ``/cpu`` 50 ms of pure Python, all
else is small.
"""

import time

SMALL = b"Hello, world\n"
LARGE = b"x" * 102_400


def application(environ, start_response):
    """See above."""
    path = environ["PATH_INFO"]
    body = LARGE if path == "/large" else SMALL
    if path == "/sleep":
        time.sleep(0.1)
    elif path == "/cpu":
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            for _ in range(1000):
                pass
    elif environ["REQUEST_METHOD"] == "POST":
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
