"""Relève: a hot-upgrade process supervisor with a built-in prefork WSGI server."""

__version__ = "0.1.0"
