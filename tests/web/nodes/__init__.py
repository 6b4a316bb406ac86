"""Requests that find the owner of their session."""
