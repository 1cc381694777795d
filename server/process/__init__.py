"""What master and workers do alike: their output, their stacks, random generators after a fork, their end."""
