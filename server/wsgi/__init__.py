"""The application: found, mounted and called by PEP 3333, its environ and its access log."""
