"""Configuration: what every folder may use to make values, and to say what is wrong with one."""
