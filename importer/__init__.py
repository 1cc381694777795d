"""Moving here: the configuration of another server, read and written anew as ours."""
