"""The conversation: ctl finds a supervisor, asks it, waits."""
