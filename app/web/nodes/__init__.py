"""Requests find the node that owns their session: passed on to it, signed, and its response passed back."""
