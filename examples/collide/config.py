"""The application's own ``config``."""

OWNER = "the application"
