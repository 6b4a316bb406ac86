"""Tailrace: a streaming chat server. Each session runs one stream at a time, and a stop really stops the model."""

__version__ = "0.1.0"
