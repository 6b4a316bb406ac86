"""Highlights code."""
