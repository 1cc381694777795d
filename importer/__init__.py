"""Moving here: a first configuration, from what a folder holds or from the configuration of another server."""
