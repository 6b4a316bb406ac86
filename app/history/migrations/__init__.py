"""Migrations of the history's database, applied at start."""
