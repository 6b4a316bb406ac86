"""Turns at making responses, and the bytes of them that wait."""
