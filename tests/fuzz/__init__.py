"""A long search for texts that take an answer's rendering too long, break it, or lose a character."""
