"""Checks on the machine of the server. They change nothing and need no running server."""
