"""Hostile clients against a server in a process of its own, and what others notice of them."""
