"""What the templates and the page's scripts both have to know. It is said here; each page passes it to its scripts."""

from __future__ import annotations

from typing import Any

from app.chat.titles import DERIVED_TITLE_LENGTH, TITLE_LENGTH
from app.markdown.code.highlighting import BOX_LINES
from app.markdown.levels import TOP
from app.web.input.image_types import KINDS
from app.web.page.model_menu import DEMO, MANY

PAGE_SIZE = 50  # sessions in a part of the list
LARGEST_PAGE = 200  # sessions in a response
MOST_PICTURES = 32  # of a prompt
MOST_STOPS = 16  # stop sequences; in a form one per line
LONGEST_STOP = 500  # characters
SYSTEM_BYTES = 65_536  # of a system prompt, in UTF-8

RULES: dict[str, Any] = {
    "group": 8,  # blocks of an answer that are laid out and painted together; a small group is cheaper to grow
    "code_box": BOX_LINES,  # lines of code, likewise
    "fold": {"lines": 15, "characters": 1200},  # a longer prompt is folded
    "heading": TOP,  # the level of the first heading in an answer
    "whole_rate": 10,  # tokens/s, from which a rate is shown without a decimal
    "sessions": {"part": PAGE_SIZE, "most": LARGEST_PAGE},
    "models": MANY,  # in the menu; the finder has the others
    "demo": DEMO,  # the backend of the bundled model
    "stops": MOST_STOPS,
    "title": {"derived": DERIVED_TITLE_LENGTH, "most": TITLE_LENGTH},  # characters
    "images": list(KINDS),  # media types
}
