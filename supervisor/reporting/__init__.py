"""What is told and kept: the log and its files, operations under way, failures, the history."""
