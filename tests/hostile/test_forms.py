"""Forms that are laborious to take apart."""

from __future__ import annotations

from tests.functional.processes import Process
from tests.hostile.attacks import BEARER, LARGE, MULTIPART, STREAMS, attack, with_length
from tests.support import hostile


def part(*headers: str, content: bytes = b"") -> bytes:
    """Return one part of a multipart body, with its delimiter."""
    lines = ["--b", *headers, "", ""]
    return "\r\n".join(lines).encode() + content + b"\r\n"


FIELD = 'Content-Disposition: form-data; name="prompt"'
NESTED = "Content-Type: multipart/mixed; boundary=c"
FORMS: dict[str, bytes] = {
    "newlines": b"\r\n" * (LARGE // 2) + b"--b--\r\n",
    "line feeds": b"\n" * LARGE,
    "lines like a boundary": part(FIELD, content=b"\r\n--bx" * (LARGE // 6)),
    "almost boundaries": part(FIELD, content=b"\r\n--" * (LARGE // 4)),
    "nested": part(FIELD, NESTED, content=b"--c\r\n\r\n" * (LARGE // 8)) + b"--b--\r\n",
    "empty parts": part(FIELD) * (LARGE // 60) + b"--b--\r\n",
    "headers": part(FIELD, *(f"X-{number}: a" for number in range(100_000)), content=b"x"),
    "a long header": part(FIELD, "X: " + "a" * LARGE),
    "a header without an end": b"--b\r\n" + b"a" * LARGE,
    "no boundary": b"a" * LARGE,
    "no disposition": part("Content-Type: text/plain", content=b"x" * 100) + b"--b--\r\n",
    "a broken disposition": part('Content-Disposition: form-data; name="', content=b"x") + b"--b--\r\n",
    "a charset nobody knows": part(FIELD, "Content-Type: text/plain; charset=x-nope", content=b"\xff")
    + b"--b--\r\n",
    "the default charset": part('Content-Disposition: form-data; name="_charset_"', content=b"a" * 100)
    + b"--b--\r\n",
    "a length in a part": part(FIELD, "Content-Length: -5", content=b"x") + b"--b--\r\n",
    "no end": part(FIELD, content=b"hello")[:-2],
}


async def test_no_form_costs_much(process: Process) -> None:
    """A stranger's are not looked at. A user's cost little, and are answered with what is wrong."""
    async for attempt in hostile.suffering(process.pid, process.url):
        async with attempt:
            for kind in ("newlines", "nested", "headers"):
                strangers = await attack(
                    process.url, [with_length("POST", "/login", MULTIPART, body=FORMS[kind])] * 2
                )
                assert set(strangers) <= {415, 0}, kind
            for kind, body in FORMS.items():
                users = await attack(
                    process.url, [with_length("POST", STREAMS, MULTIPART, BEARER, body=body)] * 2
                )
                assert set(users) <= {400, 413, 422}, kind
