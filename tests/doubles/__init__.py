"""Model servers for tests, on real sockets, that count what is open and misbehave on request."""
