"""HTTP/1.1: bytes to checked values and back, and who the client is behind a proxy."""
