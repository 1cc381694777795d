"""How traffic moves from one generation to another, and how the new one is judged."""
