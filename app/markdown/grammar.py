"""The grammar: CommonMark, adapted to what models write.

It adds tables, strikethrough, tasks, formulas, footnotes, bare addresses and a few HTML tags; all other HTML is text.
Each deviation from CommonMark is explained in the module of its rule.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt

from app.markdown.bounds import limit
from app.markdown.html.sanitizing import SCHEMES
from app.markdown.rules.addresses import add_addresses
from app.markdown.rules.details import add_details
from app.markdown.rules.directions import add_directions
from app.markdown.rules.emphasis import add_emphasis
from app.markdown.rules.fences import add_fences
from app.markdown.rules.footnotes import add_footnotes
from app.markdown.rules.headings import add_headings
from app.markdown.rules.lists import add_lists
from app.markdown.rules.maths import add_maths
from app.markdown.rules.tags import add_tags
from app.markdown.rules.tasks import add_tasks

Definitions = dict[str, dict[str, Any]]  # link definitions by label, in markdown-it's format


_ADDITIONS = (
    add_maths,
    add_emphasis,
    add_addresses,
    add_tags,
    add_headings,
    add_fences,
    add_lists,
    add_footnotes,
    add_details,
    add_tasks,
    add_directions,
)


def grammar(*, limited: bool) -> MarkdownIt:
    """Return a parser. A `limited` one raises `TooMuchError` after `env["deadline"]` and if blocks nest too deeply."""
    parser = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False, "breaks": True})
    parser.enable(["table", "strikethrough"]).disable(["html_block", "html_inline"])
    if limited:
        limit(parser)
    for add in _ADDITIONS:
        add(parser)
    parser.validateLink = is_allowed  # type: ignore[method-assign]
    return parser


def is_allowed(url: str) -> bool:
    """Return whether an answer may link to `url`: only absolute web and mail addresses, no relative or data URLs."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in SCHEMES and bool(parts.netloc or parts.scheme == "mailto")
