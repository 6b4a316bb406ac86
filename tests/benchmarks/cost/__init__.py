"""The guard of the hot paths: instructions of a token, a viewer and a prompt, counted by callgrind."""
