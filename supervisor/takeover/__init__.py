"""How generations of another supervisor come to be held here."""
