"""A worker's life from the fork to its exit, and the orders that it takes."""
