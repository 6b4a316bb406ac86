"""Stored sessions, messages and streams: the implementations of the port `History`."""
