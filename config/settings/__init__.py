"""Settings: the one table of them, a file for each block; what changed between two; and their message."""
