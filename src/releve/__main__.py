"""``python -m releve``: the same as the command ``releve``."""

from releve.supervisor.cli import main

if __name__ == "__main__":
    main()
