"""What is wrong with a service: missing workers, logs, errors, saturation."""
