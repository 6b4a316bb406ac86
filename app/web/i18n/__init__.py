"""Translations: catalogues, error texts, labels."""
