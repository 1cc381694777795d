"""The settings of gunicorn, a file for each group, and what becomes of each here."""
