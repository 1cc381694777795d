"""Configuration: YAML to frozen settings, errors with file, line and column."""
