"""Top: what a service does from one moment to the next, live."""
