"""What master and workers do alike: output, stacks, random generators, end."""
