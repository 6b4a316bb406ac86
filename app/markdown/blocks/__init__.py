"""Splits a growing answer into blocks."""
