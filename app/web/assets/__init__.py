"""Static files: location, bundling, compression."""
