"""The command ``ctl``: finds a supervisor, sends it one verb, shows the outcome."""
