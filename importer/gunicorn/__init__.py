"""What a gunicorn serves with: flags, variables, file, defaults."""
