"""Renders one block of an answer as sanitized HTML, in bounded time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from app.markdown.bounds import SECONDS, Deadline, TooMuchError
from app.markdown.code.highlighting import code
from app.markdown.grammar import Definitions, grammar
from app.markdown.html.mathml import maths
from app.markdown.html.sanitizing import sanitize
from app.markdown.plain import clean, escape, plain, without_controls
from app.markdown.rules.fences import language as language_of


def render(source: str, definitions: Definitions, *, seconds: float = SECONDS) -> str:
    """Return the HTML of a block; its plain text if it is too deep, takes longer than `seconds`, or fails."""
    try:
        return attempt(source, definitions, Deadline(seconds))
    except TooMuchError:
        return plain(source)


def attempt(source: str, definitions: Definitions, deadline: Deadline) -> str:
    """Return the HTML of a block. Raises `TooMuchError` if it is too deep, takes too long, or fails.

    Links are looked up in `definitions`, then in the block itself.
    """
    # Parsing adds the block's own definitions, so copy. A block without `]:` has none.
    known = dict(definitions) if "]:" in source else definitions
    try:
        html = str(PARSER.render(clean(source), {"references": known, "deadline": deadline}))
        deadline.check()
        return sanitize(html).rstrip("\n")
    except TooMuchError:
        raise
    except Exception as error:
        # An error in the grammar or in a library must not lose the text: the caller shows it as plain text.
        raise TooMuchError(f"rendering failed: {error!r}") from error


def _listing(token: Token, env: Any) -> str:
    env["deadline"].check()
    language = language_of(token.info)
    name = f' class="language-{escape(language)}"' if language.isascii() and language else ""
    return f'<pre dir="ltr"><code{name}>{code(token.content, language)}</code></pre>\n'


def _formula(token: Token, env: Any) -> str:
    env["deadline"].check()
    html = maths(token.content, "inline" if token.markup in (r"\(", "$") else "block")
    return f"<p>{html}</p>\n" if token.block else html


def _task(token: Token, _: Any) -> str:
    """Write the sign of a box, which is read aloud and copied; the page draws it."""
    kind, sign = ("task done", "☑") if token.markup == "x" else ("task", "☐")
    return f'<span class="{kind}">{sign}</span>'


def _footnote(token: Token, env: Any) -> str:
    """Write a reference. If the footnote is only an address, the reference links to it."""
    mark, href = f"[{escape(token.content)}]", str(token.attrs.get("href", ""))
    inner = f"{_anchor(href, '')}{mark}</a>" if href and not env.get("link") else mark
    return f'<sup class="footnote">{inner}</sup>'


def _footnote_open(token: Token, _: Any) -> str:
    direction = f' dir="{token.attrs["dir"]}"' if "dir" in token.attrs else ""
    return f'<div class="footnote"{direction}>\n<sup>[{escape(token.info)}]</sup>\n'


def _link_open(token: Token, env: Any) -> str:
    env["link"] = True
    return _anchor(str(token.attrs["href"]), str(token.attrs.get("title", "")))


def _link_close(_: Token, env: Any) -> str:
    env["link"] = False
    return "</a>"


def _image(token: Token, env: Any) -> str:
    """Write a link instead of an image: loading the image would tell its server who reads this answer, and when."""
    source = str(token.attrs["src"])
    words = RENDERER.renderInlineAsText(token.children, PARSER.options, env)
    label = escape(words or source)
    return label if env.get("link") else f"{_anchor(source, str(token.attrs.get('title', '')))}{label}</a>"


def _anchor(url: str, title: str) -> str:
    said = f' title="{escape(without_controls(title))}"' if title else ""
    return f'<a href="{escape(without_controls(url))}"{said} target="_blank">'


def _cell(token: Token, _: Any) -> str:
    """Write the opening tag of a cell. Its alignment is a class, because the page's CSP forbids inline styles."""
    aligned = str(token.attrs.get("style", "")).removeprefix("text-align:")
    return f'<{token.tag} class="align-{aligned}">' if aligned else f"<{token.tag}>"


# The renderers that differ from plain CommonMark, by token type.
_RULES: dict[str, Callable[[Token, Any], str]] = {
    "text": lambda token, _: escape(token.content),
    "code_inline": lambda token, _: f"<code>{escape(token.content)}</code>",
    "code_block": _listing,
    "fence": _listing,
    "maths": _formula,
    "task": _task,
    "footnote": _footnote,
    "footnote_open": _footnote_open,
    "link_open": _link_open,
    "link_close": _link_close,
    "image": _image,
    "th_open": _cell,
    "td_open": _cell,
}


def _rule(write: Callable[[Token, Any], str]) -> Any:
    return lambda tokens, index, _options, env: write(tokens[index], env)


PARSER = grammar(limited=True)
RENDERER = RendererHTML(PARSER)
RENDERER.rules |= {kind: _rule(write) for kind, write in _RULES.items()}
PARSER.renderer = RENDERER
