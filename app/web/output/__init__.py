"""Responses: whose turn it is to make one, and how much of them waits for clients."""
