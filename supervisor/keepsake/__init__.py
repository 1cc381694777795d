"""What is left for the next supervisor: what a generation is, packed and recorded."""
