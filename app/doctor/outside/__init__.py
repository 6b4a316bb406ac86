"""Checks of a running server through its address, as a browser sees it, with every proxy in between."""
