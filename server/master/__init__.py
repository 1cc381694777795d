"""A master: carries out orders, and serves on without a supervisor."""
