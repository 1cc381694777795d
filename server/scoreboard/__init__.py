"""What workers write and the supervisor reads: their numbers, the requests under way, failures and last lines."""
