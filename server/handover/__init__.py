"""How connections come in and change hands: accepted, handed over, diverted."""
