"""Converts LaTeX formulas to MathML; a formula that cannot be converted is shown as source."""

from __future__ import annotations

import html
import re
from typing import Literal
from xml.etree.ElementTree import Element, tostring

from latex2mathml.converter import Converter

from app.markdown.bounds import MATHS_DEPTH, MATHS_LENGTH
from app.markdown.plain import escape, without_controls

Display = Literal["block", "inline"]

# Macros can expand without bound, and a formula in an answer does not need to define any.
_DEFINITION = re.compile(r"\\(?:(?:re)?newcommand|providecommand|[egx]?def|let)\b")
_ESCAPED = re.compile(r"\\.", re.DOTALL)
# Environments that the converter does not know, with equivalents that look the same.
_SYNONYMS = {
    "aligned": "align*",
    "gathered": "matrix",
    "gather": "matrix",
    "gather*": "matrix",
    "dcases": "cases",
}
_ENVIRONMENT = re.compile(r"\\(begin|end)\{(aligned|gathered|gather\*?|dcases)\}")


def maths(source: str, display: Display) -> str:
    """Return a formula as `<math>`; if it cannot be converted, its source in `<code class="maths">`.

    `source` is without its delimiters.
    """
    formula = _convert(without_controls(source).strip(), display)
    return formula if formula is not None else f'<code class="maths">{escape(source.strip())}</code>'


def _convert(source: str, display: Display) -> str | None:
    if len(source) > MATHS_LENGTH or _DEFINITION.search(source) or not _is_balanced(source):
        return None
    known = _ENVIRONMENT.sub(lambda found: rf"\{found[1]}{{{_SYNONYMS[found[2]]}}}", source)
    try:
        tree = Converter(display=display).convert_to_element(known)
    except Exception:  # noqa: BLE001 - if the converter fails, the source is shown
        return None
    return tostring(tree, encoding="unicode") if all(map(_is_whole, tree.iter())) else None


def _is_whole(element: Element) -> bool:
    """Unescape an element's text; return whether the converter understood the element.

    The converter writes character references and does not escape markup in text. Unescaped here, the text is escaped
    when the tree is serialised.
    """
    text = html.unescape(element.text or "")
    element.text = text
    return "\\" not in text and not (element.tag == "mi" and text == "&")


def _is_balanced(source: str) -> bool:
    """Return whether all braces are paired and none is nested deeper than `MATHS_DEPTH`."""
    depth = 0
    for character in _ESCAPED.sub("", source):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if not 0 <= depth <= MATHS_DEPTH:
            return False
    return depth == 0
