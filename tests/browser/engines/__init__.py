"""The main things that a visitor does, in every engine: Chromium, Firefox and WebKit."""
