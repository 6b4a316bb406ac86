"""Builds the parts from the settings, runs and ends the server. Only this room and `embedding` know all others."""
