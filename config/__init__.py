"""What makes values, and says what is wrong with one."""
