"""Negotiation and addresses."""
