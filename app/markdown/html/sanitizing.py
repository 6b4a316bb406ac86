"""The final HTML filter: an allow-list of tags and attributes, independent of the grammar."""

from __future__ import annotations

import nh3

SCHEMES = frozenset({"http", "https", "mailto"})
REL = "noopener noreferrer nofollow"

_TEXT = """
    a bdi blockquote br code del details div em h3 h4 h5 h6 hr kbd li ol p pre s span strong sub summary sup table
    tbody td th thead tr ul
"""
_MATHS = """
    math menclose mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow mspace msqrt mstyle msub
    msubsup msup mtable mtd mtext mtr munder munderover none
"""
# Presentation only: no attribute that names, loads, links or runs anything.
_MATHS_ATTRIBUTES = """
    accent accentunder columnalign columnlines columnspacing depth displaystyle fence form height largeop linethickness
    lspace mathvariant maxsize minsize movablelimits notation rowlines rowspacing rspace scriptlevel separator
    stretchy symmetric voffset width
"""
# No `id` or `name`, which could shadow what scripts look up (DOM clobbering), and no `style`.
_ATTRIBUTES: dict[str, set[str]] = {
    "a": {"href", "title", "target"},
    "bdi": {"class"},
    "code": {"class"},
    "details": {"open"},
    "div": {"class"},
    "ol": {"start"},
    "pre": {"class"},
    "span": {"class"},
    "sup": {"class"},
    "td": {"class"},
    "th": {"class"},
    **{tag: set(_MATHS_ATTRIBUTES.split()) for tag in _MATHS.split()},
    "math": {"display"},
}
# The only values that an attribute may have.
_VALUES: dict[str, dict[str, set[str]]] = {
    "pre": {"dir": {"ltr"}},
    **{tag: {"dir": {"auto"}} for tag in ("ul", "ol", "blockquote", "table", "details", "div")},
}

_cleaner = nh3.Cleaner(
    tags={*_TEXT.split(), *_MATHS.split()},
    attributes=_ATTRIBUTES,
    tag_attribute_values=_VALUES,
    clean_content_tags={"script", "style"},
    url_schemes=SCHEMES,
    url_relative="deny",
    link_rel=REL,
)


def sanitize(html: str) -> str:
    """Return `html` with only the allowed tags, attributes and URL schemes."""
    return _cleaner.clean(html)
