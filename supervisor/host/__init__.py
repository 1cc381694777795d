"""This host: processes, users, paths, memory; every call that can fail."""
