"""A release, resolved once: directory, interpreter, environment, and the server that it is lent."""
