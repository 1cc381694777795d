"""Reading: a file, variables and flags to what was written, with places, and from that the settings."""
