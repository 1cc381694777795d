"""What workers write and the supervisor reads: numbers, requests, failures, last lines."""
