"""The conversation: how ctl finds a supervisor, asks it, and waits for the result."""
