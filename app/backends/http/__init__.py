"""HTTP requests to model servers: client, generation, continued answers."""
