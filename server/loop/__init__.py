"""The event loop of a worker: connections, the threads that lead and follow, reading, answering, writing."""
