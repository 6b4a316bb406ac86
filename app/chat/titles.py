"""How long the title of a session may be."""

from __future__ import annotations

TITLE_LENGTH = 200  # characters
DERIVED_TITLE_LENGTH = 80  # characters at most of a title that is derived from the first prompt
