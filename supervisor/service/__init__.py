"""Which generation serves or stands by; condition, lock, sentry."""
