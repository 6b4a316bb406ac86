"""Answers of model servers, read tolerantly into deltas."""
