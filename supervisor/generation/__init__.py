"""A generation as held here: master, workers, states, traffic, crashes."""
