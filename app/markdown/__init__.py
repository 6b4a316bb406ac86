"""Markdown as models write it, made into safe HTML, block by block, in bounded time."""
