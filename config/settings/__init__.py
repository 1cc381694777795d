"""The one table of settings, a file for each block; diff and message."""
