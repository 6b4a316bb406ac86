"""The grammar: CommonMark with tables, strikethrough, tasks and formulas. Raw HTML is text."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt

from app.markdown.bounds import limit
from app.markdown.maths_rules import add_maths
from app.markdown.sanitizing import SCHEMES
from app.markdown.task_rules import add_tasks

Definitions = dict[str, dict[str, Any]]  # of links, by label, as markdown-it keeps them


def grammar(*, limited: bool) -> MarkdownIt:
    """Return a parser. A `limited` one asks `env["deadline"]` for time, and raises where blocks are too deep."""
    parser = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False})
    parser.enable(["table", "strikethrough"]).disable(["html_block", "html_inline"])
    if limited:
        limit(parser)
    add_maths(parser)
    add_tasks(parser)
    parser.validateLink = _is_allowed  # type: ignore[method-assign]
    return parser


def _is_allowed(url: str) -> bool:
    """Tell whether an answer may link there: to other sites and to mail, not into this one and not to data."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in SCHEMES and bool(parts.netloc or parts.scheme == "mailto")
