"""The commands ``import`` and ``init``: a first configuration."""
