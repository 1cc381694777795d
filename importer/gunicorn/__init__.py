"""A gunicorn as it is configured: its command line, its variables, its file and its defaults, in its own order."""
