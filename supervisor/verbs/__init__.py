"""Who may ask for what, when; control socket, verbs, watched files."""
