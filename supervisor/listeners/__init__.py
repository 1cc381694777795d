"""Listening sockets: planned, opened, inherited, put aside and brought back."""
