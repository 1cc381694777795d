"""What is told and kept: log files, operations, failures, history."""
