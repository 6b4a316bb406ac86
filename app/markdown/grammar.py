"""The grammar: CommonMark as models write it.

With tables, strikethrough, tasks, formulas, footnotes, bare addresses and a few tags of HTML; all other HTML is text.
Where it reads a text differently than CommonMark does, the module of the rule says why.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt

from app.markdown.bounds import limit
from app.markdown.html.sanitizing import SCHEMES
from app.markdown.rules.addresses import add_addresses
from app.markdown.rules.details import add_details
from app.markdown.rules.emphasis import add_emphasis
from app.markdown.rules.fences import add_fences
from app.markdown.rules.footnotes import add_footnotes
from app.markdown.rules.headings import add_headings
from app.markdown.rules.lists import add_lists
from app.markdown.rules.maths import add_maths
from app.markdown.rules.tags import add_tags
from app.markdown.rules.tasks import add_tasks

Definitions = dict[str, dict[str, Any]]  # of links, by label, as markdown-it keeps them


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
)


def grammar(*, limited: bool) -> MarkdownIt:
    """Return a parser. A `limited` one asks `env["deadline"]` for time, and raises where blocks are too deep."""
    parser = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False, "breaks": True})
    parser.enable(["table", "strikethrough"]).disable(["html_block", "html_inline"])
    if limited:
        limit(parser)
    for add in _ADDITIONS:
        add(parser)
    parser.validateLink = is_allowed  # type: ignore[method-assign]
    return parser


def is_allowed(url: str) -> bool:
    """Tell whether an answer may link there: to other sites and to mail, not into this one and not to data."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in SCHEMES and bool(parts.netloc or parts.scheme == "mailto")
