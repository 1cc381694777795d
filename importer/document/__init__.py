"""What the importer writes: YAML with comments, into a file."""
