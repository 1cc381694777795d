"""Who may ask for what, when, and what it begins: the control socket, the verbs, watched files."""
