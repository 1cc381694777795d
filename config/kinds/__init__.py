"""Kinds of values: from a written word, and back; the schema."""
