"""What is told of service and host: status, stacks, doctor."""
