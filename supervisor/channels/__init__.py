"""The supervisor's ends of what leads to a generation: link, door, relay, exchange, observers, memory files."""
