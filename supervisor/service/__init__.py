"""The service: which generation serves and which stands by, its condition, its lock and its sentry."""
