"""How traffic moves, and how the new generation is judged."""
