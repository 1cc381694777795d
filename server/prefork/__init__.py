"""What a master boots with; how workers are forked, told, ended."""
