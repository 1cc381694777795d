"""Gunicorn's settings by groups, and what becomes of each."""
