"""How a supervisor comes to hold generations that another one has started."""
