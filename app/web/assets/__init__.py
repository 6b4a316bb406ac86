"""Static files: found, joined, compressed."""
