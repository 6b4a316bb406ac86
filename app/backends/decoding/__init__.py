"""Tolerant decoding of model server answers into deltas."""
