"""Access control: access token, host and origin checks, malformed requests."""
