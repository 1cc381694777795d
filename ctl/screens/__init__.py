"""Screens: what ctl shows of each result, and the words and tables that they share."""
