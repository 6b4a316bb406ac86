"""Registries, a log and a viewer that are wrong on purpose. The explorer has to convict each of them."""
