"""The session log: the ordered events of a session. All viewers read from it."""
