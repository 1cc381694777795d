"""Listening sockets: planned, opened, inherited, put aside."""
