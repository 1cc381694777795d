"""A master: carries out the supervisor's orders, and serves on without one."""
