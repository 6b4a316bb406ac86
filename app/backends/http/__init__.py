"""One request to a model server over HTTP: client, generation, continued answers."""
