"""Renders blocks as safe HTML."""
