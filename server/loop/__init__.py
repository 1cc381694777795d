"""A worker's event loop: connections, threads, reading, answering, writing."""
