"""The gates of the page: what it weighs, how it scores, and how it bears a long answer, in a real browser."""
