"""Models that do on request what a real one does rarely."""
