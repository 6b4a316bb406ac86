"""A chat with everything that is hard to print, as a file that can be imported, and what is on the paper."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pypdfium2

TIME = "2026-01-02T03:04:05Z"
LONG_PROMPT = "\n".join(f"prompt line {number}" for number in range(60)) + "\nlast line of the prompt"
LONG_LINE = "value = " + " + ".join(f"number_{number}" for number in range(60)) + "  # end of the line"
CODE = "```python\n" + "\n".join(f"count = {number}" for number in range(120)) + f"\n{LONG_LINE}\n```"
CELLS = 14
TABLE = "\n".join(
    f"| {' | '.join(cells)} |"
    for cells in (
        [f"column {number}" for number in range(CELLS)],
        ["---"] * CELLS,
        [f"cell {number}" for number in range(CELLS)],
    )
)
PROSE = "\n\n".join(f"Paragraph {number}. " + "A wheel turns in the water. " * 12 for number in range(30))
FOLD = "<details>\n<summary>More of it</summary>\n\nInside the fold.\n\n</details>"
MARKERS = [
    *("prompt line 0", "prompt line 59", "last line of the prompt"),
    *("count = 0", "count = 119", "number_59", "end of the line"),
    *("column 13", "cell 13", "Paragraph 0", "Paragraph 29", "very end"),
    *("More of it", "Inside the fold"),
]


def png(red: int, width: int = 240, height: int = 160) -> bytes:
    """Return a picture of one colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = (b"\0" + bytes([red, 120, 120]) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def archive() -> dict[str, Any]:
    """Return the chat as an export has it."""
    exchanges = [
        (LONG_PROMPT, f"## A heading\n\n{CODE}\n\n{TABLE}"),
        ("And the rest?", f"{PROSE}\n\n{FOLD}\n\nThis is the very end."),
    ]
    messages: list[dict[str, Any]] = []
    streams: list[dict[str, Any]] = []
    for number, (prompt, answer) in enumerate(exchanges):
        parent = messages[-1]["message_id"] if messages else None
        images = [
            {
                "image_id": f"i{number}{red}",
                "media_type": "image/png",
                "data": base64.b64encode(png(red)).decode(),
            }
            for red in (200, 60)
        ]
        common = {"created_at": TIME, "stream_id": f"s{number}"}
        messages += [
            {"message_id": f"p{number}", "parent_id": parent, "content": prompt, "images": images, **common},
            {"message_id": f"a{number}", "parent_id": f"p{number}", "content": answer, **common},
        ]
        messages[-2]["role"], messages[-1]["role"] = "user", "assistant"
        messages[-1]["reasoning"] = "First I think of wheels."
        streams.append(
            {
                "stream_id": f"s{number}",
                "message_id": f"a{number}",
                "model": "scripted/echo",
                "outcome": "complete",
                "finish_reason": "stop",
                "tokens": 100,
                "duration_ms": 8000,
                "ttft_ms": 5000,
                "upstream_closed": True,
                "error": None,
            }
        )
    return {
        "kind": "tailrace-session",
        "version": 1,
        "session_id": "printed",
        "title": "Wheels and water",
        "created_at": TIME,
        "updated_at": TIME,
        "messages": messages,
        "streams": streams,
    }


def unspaced(text: str) -> str:
    """Return a text without its spaces."""
    return "".join(text.split())


class Paper:
    """A PDF, to be looked at."""

    def __init__(self, pdf: bytes) -> None:
        self._document = pypdfium2.PdfDocument(pdf)

    def __len__(self) -> int:
        return len(self._document)

    def close(self) -> None:
        """Let go of it."""
        self._document.close()

    @property
    def text(self) -> str:
        """All that can be read, without spaces: what is one in a PDF is a guess."""
        return unspaced(" ".join(page.get_textpage().get_text_bounded() for page in self._document))

    @property
    def pictures(self) -> int:
        """How many pictures there are."""
        kinds = [pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]
        return sum(len(list(page.get_objects(filter=kinds))) for page in self._document)

    def rows(self, number: int) -> list[bytes]:
        """Return a page as lines of grey points, each 1/72 inch wide, from 0 (black) to 255 (white)."""
        bitmap = self._document[number].render(scale=1, grayscale=True)
        data, stride = bytes(bitmap.buffer), bitmap.stride
        return [data[at : at + bitmap.width] for at in range(0, stride * bitmap.height, stride)]


@contextmanager
def paper(pdf: bytes) -> Iterator[Paper]:
    """Open a PDF."""
    opened = Paper(pdf)
    try:
        yield opened
    finally:
        opened.close()
