"""Helpers for tasks: bounded waits, idle timers, errors that no caller can receive."""
