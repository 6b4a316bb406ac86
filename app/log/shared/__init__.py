"""The session logs of a cluster: each is a Redis stream, with a mirror in the memory of the session's owner."""
