"""Event streams: encoders, channels, viewers and responses."""
