"""What can go wrong with a peer."""

from __future__ import annotations


class MissingPeerError(Exception):
    """A peer cannot be run here. The message says why, and what to do about it."""
