"""Renders the Markdown that models write as safe HTML, block by block, in bounded time."""
