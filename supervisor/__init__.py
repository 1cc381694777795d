"""The supervisor: listeners, generations, upgrades, control."""
