"""Screens: what ctl shows of each result; words and tables."""
