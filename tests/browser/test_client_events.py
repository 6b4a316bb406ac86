"""How `static/client.js` reads events, by itself in an empty page."""

from __future__ import annotations

from tests.browser.modules import Modules

LINES = (
    ": a comment\r\n\r\nretry: 2000\r\r"
    'event: start\ndata: {"stream_id":\r\ndata:"a"}\nid: 1-1\n\n'
    'event: token\rid:1-2\rdata: {"text": "\u2028 é: 😀"}\r\r'
    'event: block\ndata: {"index": 0}\n\n'
    "event: nothing\n\n"
    'event: end\nid: 1-3\ndata: {"outcome": "complete"}\n\n'
    'event: cut\ndata: {"off":'
)
PARSE = """async ([url, bytes, cuts]) => {
  const { Client } = await import(`${url}/client.js`);
  const given = globalThis.fetch;
  const all = Uint8Array.from(bytes);
  const parse = async (cut) => {
    const halves = [all.slice(0, cut), all.slice(cut)];
    const pieces = cut === "each" ? Array.from(all, (byte) => Uint8Array.of(byte)) : halves;
    globalThis.fetch = async () => new Response(new ReadableStream({
      start(controller) {
        for (const piece of pieces) controller.enqueue(piece);
        controller.close();
      },
    }));
    const events = [];
    for await (const event of new Client({ base: url }).resume("a")) events.push(event);
    return JSON.stringify(events);
  };
  try {
    const found = new Set();
    for (const cut of cuts) found.add(await parse(cut));
    return Array.from(found, JSON.parse);
  } finally {
    globalThis.fetch = given;
  }
}"""


def test_events_are_the_same_however_they_are_split(modules: Modules) -> None:
    """After each byte, in the middle of a line end or of a character; an event that was cut off is none."""
    text = LINES.encode()
    found = modules.page.evaluate(PARSE, [modules.url, list(text), [*range(len(text)), "each"]])
    assert found == [
        [
            {"stream_id": "a", "type": "start", "cursor": "1-1"},
            {"text": "\u2028 é: 😀", "type": "token", "cursor": "1-2"},
            {"index": 0, "type": "block", "cursor": "1-2"},
            {"outcome": "complete", "type": "end", "cursor": "1-3"},
        ]
    ]
