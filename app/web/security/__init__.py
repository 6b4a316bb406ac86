"""Who may send which request: access token, host, origin, malformed requests."""
