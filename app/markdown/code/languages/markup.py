"""Markup languages."""

from __future__ import annotations

from app.markdown.code.languages.braces import JAVASCRIPT
from app.markdown.code.languages.data import CSS
from app.markdown.code.languages.rules import Language, Pattern, Span, Tag, line_comment

_ATTRIBUTES = Language(
    (Span("string", '"', '"'), Span("string", "'", "'")),
    word=r"[^\W\d][\w:.@-]*+|[@:#][\w:.-]++",
    followed=(("known", r"[ \t\n]*+="),),
    has_numbers=False,
    leaves=r"/?>",
)
_TAG = Tag("keyword", r"</?[A-Za-z][\w:.-]*+", _ATTRIBUTES)
_ENTITY = Pattern("known", r"&#?\w{1,32}+;")
_COMMENT = Span("comment", "<!--", "-->")
XML = Language(
    (
        _COMMENT,
        Span("string", r"<!\[CDATA\[", "]]>"),
        Span("comment", r"<\?", "?>"),
        Span("comment", r"<![A-Za-z]", ">"),
        _TAG,
        _ENTITY,
    ),
    word=r"\w++",
    has_numbers=False,
)
HTML = Language(
    (
        Tag("keyword", r"<script\b", _ATTRIBUTES, "</script", lambda: JAVASCRIPT),
        Tag("keyword", r"<style\b", _ATTRIBUTES, "</style", lambda: CSS),
        *XML.rules,
    ),
    word=r"\w++",
    has_numbers=False,
)
MARKDOWN = Language(
    (
        Span("string", r"^[ ]{0,3}+`{3,16}+", lambda opening: "\n" + opening.strip(" ")),
        Span("string", r"^[ ]{0,3}+~{3,16}+", lambda opening: "\n" + opening.strip(" ")),
        Pattern("keyword", r"^#{1,6}+[ ][^\n]*+"),
        Pattern("string", "`[^`\n]{1,200}+`"),
        Pattern("keyword", r"^[ \t]*+(?:[-*+]|\d{1,9}+[.)])(?=[ ])"),
        Pattern("comment", r"^[ ]{0,3}+>[^\n]*+|<!--[^\n]*+"),
        Pattern("defined", r"\*\*[^*\n]{1,200}+\*\*"),
        Pattern("known", r"\]\([^)\s]{1,300}+\)"),
    ),
    word=r"\w++",
    has_numbers=False,
)
RST = Language(
    (
        Pattern("comment", r"^\.\. (?!_|[\w-]{1,40}+::)[^\n]*+"),
        Pattern("keyword", r"^[ \t]*+\.\. [\w-]{1,40}+::|^[=\-~^\"'#*+]{3,200}+$"),
        Pattern("string", "``[^`\n]{1,200}+``"),
        Pattern("known", r":[\w-]{1,40}+:"),
        Pattern("defined", r"\*\*[^*\n]{1,200}+\*\*"),
    ),
    word=r"\w++",
    has_numbers=False,
)
LATEX = Language(
    (
        Pattern("", r"\\[^A-Za-z]"),
        line_comment("%"),
        Pattern("keyword", r"\\[A-Za-z@]++"),
        Pattern("string", r"\$\$?[^$\n]{1,300}+\$\$?"),
        Pattern("known", r"(?<=\\begin\{)[^}\n]{1,60}+|(?<=\\end\{)[^}\n]{1,60}+"),
    ),
    word=r"[^\W\d]\w*+",
    has_members=False,
)
