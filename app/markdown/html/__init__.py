"""Blocks as safe HTML."""
