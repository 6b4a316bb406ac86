"""Which examples of CommonMark are read otherwise here, each with the reason. All the others are read as it says."""

from __future__ import annotations

import re
from functools import cache

from markdown_it import MarkdownIt

from app.markdown.bounds import Deadline
from app.markdown.grammar import is_allowed
from app.markdown.html.rendering import PARSER, RENDERER
from app.markdown.rules.directions import add_directions
from tests.markdown.corpus import EXAMPLES
from tests.markdown.pieces import PATIENT

LINES = """
    14 25 28 37 46 49 70 87 88 93 104 105 106 113 138 145 148 149 150 151 153 154 155 156 157 158 160 162 163 164
    165 166 169 170 172 173 174 176 177 178 179 180 182 185 186 187 189 190 193 195 196 198 204 208 210 213 217
    220 222 223 224 228 229 230 232 233 238 243 247 250 251 253 254 285 286 287 288 290 291 292 293 312 334 367
    384 394 405 423 432 490 491 494 505 510 541 543 552 556 565 570 571 587 615 616 621 625 648 649
"""
HEADINGS = "10 62 66 67 68 71 72 73 74 75 76 77 78 79 80 86 89 90 102 115 214 216 227 646 647"
OTHERS = {
    "three dashes under a text are a rule": "59 84 91 95 96 103 141 300",
    "an underlined heading is one line": "81 82 215",
    "an underline is three marks at least": "83",
    "a list with numbers may begin after a line of text, at any number": "304",
    "`**` with a space inside is a mark": "379 391",
    "a bare address is a link": "602 608 611 612",
    r"`\\(` and `\\[` begin formulas": "12 495 498",
}


@cache
def _commonmark() -> MarkdownIt:
    """Return CommonMark as it is, but without raw HTML and links into the page, and with the directions of ours."""
    parser = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False})
    parser.disable(["html_block", "html_inline"])
    parser.validateLink = is_allowed  # type: ignore[method-assign]
    add_directions(parser)
    parser.renderer = RENDERER
    return parser


def html(parser: MarkdownIt, text: str) -> str:
    """Return a text as a parser reads it."""
    return str(parser.render(text, {"deadline": Deadline(PATIENT)}))


def lowered(html: str) -> str:
    """Return HTML with its headings two levels lower."""
    return re.sub(r"(</?h)([1-6])(?=>)", lambda found: f"{found[1]}{min(int(found[2]) + 2, 6)}", html)


def numbers(text: str) -> set[int]:
    """Return the numbers of examples."""
    return set(map(int, text.split()))


def test_the_others_are_read_as_commonmark_says() -> None:
    """What differs is listed above, and all that is listed there differs."""
    found: dict[str, set[int]] = {"headings": set(), "lines": set(), "others": set()}
    for name, text in EXAMPLES.items():
        theirs, ours = html(_commonmark(), text), html(PARSER, text)
        kind = "others"
        if lowered(theirs) == ours:
            kind = "headings"
        elif lowered(theirs).replace("<br>\n", "\n") == ours.replace("<br>\n", "\n"):
            kind = "lines"
        if theirs != ours:
            found[kind].add(int(name.rpartition(" ")[2]))
    assert found["headings"] == numbers(HEADINGS)
    assert found["lines"] == numbers(LINES)
    assert found["others"] == numbers(" ".join(OTHERS.values()))


def test_no_example_is_listed_twice() -> None:
    """Each one has one reason: the one that weighs most."""
    listed = " ".join([LINES, HEADINGS, *OTHERS.values()]).split()
    assert len(listed) == len(set(listed))
