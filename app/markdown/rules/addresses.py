"""Bare addresses in text: web addresses, including those with just `www.`, and mail addresses."""

from __future__ import annotations

import re
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.parser_inline import _DEFAULT_TERMINATORS

# An address cannot start inside another one, so no position is scanned twice.
_WEB = r"(?<![0-9A-Za-z])(?:https?://|www\.)"
_MAIL = r"(?<![0-9A-Za-z_.+-])[0-9A-Za-z][0-9A-Za-z_.+-]*+@"
_STOP = re.compile(f"[{re.escape(''.join(_DEFAULT_TERMINATORS))}]|{_WEB}|{_MAIL}", re.IGNORECASE)
_HOST = re.compile(
    r"https?://(?=[0-9A-Za-z\[\u00c0-\U0010ffff])|www\.(?=[0-9A-Za-z-]+\.[0-9A-Za-z])", re.IGNORECASE
)
_MAILBOX = re.compile(
    r"[0-9A-Za-z][0-9A-Za-z_.+-]*+@(?:[0-9A-Za-z-]+\.)+[A-Za-z]{2,63}(?![0-9A-Za-z@-]|:[\w/])", re.ASCII
)
# Characters that end an address: spaces, quotes, Markdown marks, and non-ASCII characters that are not letters.
_ENDS = r"\s\x00-\x20\x7f<>\"`*|^\u0080-\u00bf\u2000-\u206f\u2190-\u2bff\u2e00-\u2e7f\u3000-\u303f"
_ENDS += r"\ufe10-\ufe6f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\U0001f000-\U0001faff"
_PART = re.compile(rf"(?:[^{_ENDS}\\(){{}}\[\]]|\\_)+|[(){{}}\[\]]")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_DEPTH = 3  # nested brackets
_TRAILING = ".,:;!?'_~"
_ENTITIES = ("&quot;", "&gt;", "&lt;", "&apos;", "&#39;")
# Chinese, Japanese and Korean text has no space after an address. Its letters belong to the address only at the start
# of one of the address's parts.
_GLUED = re.compile(
    r"(?<=[0-9A-Za-z)\]])[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff]"
)


def add_addresses(parser: MarkdownIt) -> None:
    """Make a parser turn bare addresses into links."""
    parser.inline.ruler.at("text", _text)
    parser.inline.ruler.after("text", "address", _address)


def _text(state: Any, silent: bool) -> bool:
    """Consume text up to possible markup or a possible address."""
    found = _STOP.search(state.src, state.pos)
    end = min(found.start(), state.posMax) if found else state.posMax
    if end == state.pos:
        return False
    if not silent:
        state.append_pending(state.src[state.pos : end])
    state.pos = end
    return True


def _address(state: Any, silent: bool) -> bool:
    first = state.src[state.pos]
    if not first.isascii() or not first.isalnum() or state.linkLevel > 0:
        return False
    written = _web_address(state) if first in "hHwW" else ""
    prefix = "http://" if written[:4].lower() == "www." else ""
    if not written:
        written, prefix = _mailbox(state), "mailto:"
    text = written.replace("\\_", "_")
    href = state.md.normalizeLink(prefix + text.replace("&amp;", "&"))
    if not written or not state.md.validateLink(href):
        return False
    if not silent:
        _push(state, href, text)
    state.pos += len(written)
    return True


def _push(state: Any, href: str, text: str) -> None:
    token = state.push("link_open", "a", 1)
    token.attrs = {"href": href}
    token.markup = token.info = "auto"
    state.push("text", "", 0).content = text.replace("&amp;", "&")
    token = state.push("link_close", "a", -1)
    token.markup = token.info = "auto"


def _is_inside_word(state: Any, others: str) -> bool:
    before = state.src[state.pos - 1] if state.pos else " "
    return before.isascii() and (before.isalnum() or before in others)


def _mailbox(state: Any) -> str:
    found = None if _is_inside_word(state, "_.+-") else _MAILBOX.match(state.src, state.pos, state.posMax)
    return found[0] if found else ""


def _web_address(state: Any) -> str:
    """Return the address at the current position as written; empty if there is none."""
    found = None if _is_inside_word(state, "") else _HOST.match(state.src, state.pos, state.posMax)
    if not found:
        return ""
    end = _last(state.src, found.end(), state.posMax)
    glued = _GLUED.search(state.src, found.end(), end)
    written = state.src[state.pos : glued.start() if glued else end].rstrip(_TRAILING)
    if written.endswith(_ENTITIES):
        written = written[: written.rindex("&")].rstrip(_TRAILING)
    return written if len(written) > len(found[0]) else ""


def _last(text: str, begin: int, maximum: int) -> int:
    """Return the end of an address: before a bracket that it leaves open, or closes without opening."""
    expected: list[str] = []
    opened: list[int] = []
    position = begin
    while found := _PART.match(text, position, maximum):
        part = found[0]
        if closing := _CLOSING.get(part):
            if len(opened) == _DEPTH:
                break
            expected.append(closing)
            opened.append(position)
        elif part in (")", "]", "}"):
            if not expected or expected.pop() != part:
                break
            opened.pop()
        position = found.end()
    return opened[0] if opened else position
