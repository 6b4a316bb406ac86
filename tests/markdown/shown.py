"""What a piece of HTML shows and does, as read by a parser that has nothing to do with the code under test."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlsplit

_TAGS = """
    a b bdi blockquote br code del details div em h3 h4 h5 h6 hr i ins kbd li mark ol p pre q s samp small span strong
    sub summary sup table tbody td th thead tr u ul var
"""
TAGS = frozenset(_TAGS.split())
MATHS = frozenset(
    {
        "math",
        "menclose",
        "mfrac",
        "mi",
        "mmultiscripts",
        "mn",
        "mo",
        "mover",
        "mpadded",
        "mphantom",
        "mprescripts",
    }
    | {
        "mroot",
        "mrow",
        "mspace",
        "msqrt",
        "mstyle",
        "msub",
        "msubsup",
        "msup",
        "mtable",
        "mtd",
        "mtext",
        "mtr",
    }
    | {"munder", "munderover", "none"}
)
ATTRIBUTES = frozenset({"class", "dir", "href", "open", "rel", "start", "target", "title"})


class Shown(HTMLParser):
    """The text, the tags, the classes and the links of HTML, and what is wrong with it."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.links: list[str] = []
        self.classes: list[str] = []
        self.tags: list[str] = []
        self._text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        if self._open:
            self.wrong.append(f"not closed: {self._open}")

    @property
    def text(self) -> str:
        """All the text, as a reader would copy it."""
        return "".join(self._text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("br", "hr"):
            self._open.append(tag)
        in_maths = "math" in self._open
        if not in_maths and tag not in TAGS:
            self.wrong.append(f"<{tag}>")
        if in_maths and tag not in MATHS:
            self.wrong.append(f"<{tag}> in maths")
        for name, value in attrs:
            self._attribute(tag, name, value or "", in_maths)

    def _attribute(self, tag: str, name: str, value: str, in_maths: bool) -> None:
        if name in ("id", "name", "style", "src", "srcset", "xlink:href") or name.startswith("on"):
            self.wrong.append(f"{name} on <{tag}>")
        elif in_maths:
            if name in ("href", "class", "actiontype") or ":" in value:
                self.wrong.append(f"{name}={value} in maths")
        elif name not in ATTRIBUTES:
            self.wrong.append(f"{name} on <{tag}>")
        elif name == "href":
            self.links.append(value)
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https", "mailto") or (
                parts.scheme != "mailto" and not parts.netloc
            ):
                self.wrong.append(f"a link to {value}")
        elif name == "class":
            self.classes += value.split()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        self.wrong.append(f"a declaration: {decl}")

    def handle_pi(self, data: str) -> None:
        self.wrong.append(f"an instruction: {data}")
