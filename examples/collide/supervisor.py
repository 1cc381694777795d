"""The application's own ``supervisor``."""

OWNER = "the application"
