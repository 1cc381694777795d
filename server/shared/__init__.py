"""What all processes share: link and messages, log, faults, system."""
