"""A worker's life from fork to exit, and its orders."""
