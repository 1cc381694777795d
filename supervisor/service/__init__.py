"""Which generation serves or stands by; listeners, drain, lock, sentry."""
