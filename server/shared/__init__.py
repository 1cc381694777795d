"""What supervisor, master and worker share: the link and its messages, the log, faults, the system."""
