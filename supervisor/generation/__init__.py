"""A generation as the supervisor holds it: master, workers, states, traffic, losses, crashes."""
