"""What a supervisor tells of its service and its host: status, workers, stacks, doctor."""
