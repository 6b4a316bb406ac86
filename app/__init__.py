"""Tailrace: a streaming chat server where one session has one stream, and a stop really stops the model."""

__version__ = "0.1.0"
