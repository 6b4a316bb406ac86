"""Request bodies and forms, read and checked."""
