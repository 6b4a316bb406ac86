"""The SQL statements, one module for each kind of change or read."""
