"""Chaos: nodes and engines that fail under load, and a checker that holds what each viewer saw against the one log."""
