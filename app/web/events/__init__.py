"""Event streams: encoders, channels, viewers, the response that they write to."""
