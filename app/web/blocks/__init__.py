"""Rendered answers as events: the blocks of each, for pages and for clients of the API."""
