"""What tests share: a running server, a client that reads events, and a model that does as it is told."""
