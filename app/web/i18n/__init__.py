"""Languages: catalogues, error texts, labels."""
