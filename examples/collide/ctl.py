"""The application's own ``ctl``."""

OWNER = "the application"
