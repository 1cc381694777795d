"""The application's own ``server``."""

OWNER = "the application"
