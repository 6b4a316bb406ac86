"""Maps errors of model servers to errors with user-readable messages."""
