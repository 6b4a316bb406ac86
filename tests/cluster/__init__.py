"""A cluster of real processes, on a real PostgreSQL and a real Valkey."""
