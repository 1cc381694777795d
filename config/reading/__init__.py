"""From files, variables and flags to settings, or to every problem."""
