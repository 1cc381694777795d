"""HTTP/1.1: bytes to checked values and back; clients behind proxies."""
