"""The SQL, one module for each kind of change or read."""
