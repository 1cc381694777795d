"""This host: processes, users, paths, memory; calls that can fail."""
