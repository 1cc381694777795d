"""The command ``ctl``: one verb to a supervisor, and its outcome."""
