"""What the commands write: a configuration as YAML with comments, into a file; or why there can be none."""
