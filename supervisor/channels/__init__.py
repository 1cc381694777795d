"""What leads to a generation: link, door, relay, exchange, memory files."""
