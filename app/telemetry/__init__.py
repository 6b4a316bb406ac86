"""Telemetry for operators: log lines, their audit, and metrics."""
