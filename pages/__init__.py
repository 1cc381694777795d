"""Pages that are rendered from the code: references, manuals, the schema. Nothing imports it."""
