"""Migrations of the history database, applied at start."""
