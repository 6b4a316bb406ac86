"""Helpers for tasks: bounded waits, idle timers, and reports of errors that must not reach a caller."""
