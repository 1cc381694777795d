"""What is left for the next supervisor, packed and recorded."""
