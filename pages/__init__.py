"""Pages rendered from the code; nothing imports it."""
