"""The session log: what happened, in order. Whoever shows something reads it."""
