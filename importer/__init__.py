"""Moving here: the commands ``import`` and ``init``, which write a first configuration."""
