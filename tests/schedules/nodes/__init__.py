"""The explorer with several nodes: the product's ownership, hearts and logs on a database and a Redis of steps."""
