"""Clients that ask for a path all the time, one request after the other: ``beside.py PORT PATH CLIENTS SECONDS``.

Prints their requests per second.
"""

import http.client
import sys
import threading
import time

port, path, clients, seconds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
counts = [0] * clients
end = time.monotonic() + seconds


def ask(number: int) -> None:
    """One client."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while time.monotonic() < end:
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()
            continue
        counts[number] += 1


threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(counts) / seconds)
