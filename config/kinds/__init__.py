"""Kinds of values: each from a written word, and back to text; what an editor may be told of it."""
