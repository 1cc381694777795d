"""The application: found, mounted, called; its environ, the access log."""
