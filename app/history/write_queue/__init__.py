"""Queues changes for the database, and batches reads."""
