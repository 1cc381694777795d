"""What a master was booted with, and how its workers are forked, told and ended."""
