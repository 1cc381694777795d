"""Configuration: the table of settings, and what everybody may know of it."""
