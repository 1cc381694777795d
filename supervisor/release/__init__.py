"""A release, resolved once: directory, interpreter, environment, lent server."""
