"""Logs: where lines are, which are asked for, files that are followed."""
