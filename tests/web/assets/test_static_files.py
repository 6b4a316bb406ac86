"""The static files: compressed, kept by browsers for as long as they are the same, and nothing but files."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from app.web.assets.folders import folder
from app.web.assets.static_files import StaticFiles, static_files
from tests.support.client import Client

CODED = {"Accept-Encoding": "gzip"}
PLAIN = {"Accept-Encoding": "identity"}


async def test_a_file_with_its_hash_is_kept_for_ever(client: Client) -> None:
    """Under the address that pages use a browser never asks for it again."""
    async with client.http.get(f"{static_files().address}/main.js") as file:
        assert (file.status, file.content_type, file.charset) == (200, "text/javascript", "utf-8")
        assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("address", ["/static", "/static/0123456789ab"])
async def test_without_the_hash_it_is_asked_for_again(client: Client, address: str) -> None:
    """A page of another version finds the file, too, and whoever has it already gets no body."""
    async with client.http.get(f"{address}/main.js") as file:
        assert (file.status, file.headers["Cache-Control"]) == (200, "no-cache")
        etag = file.headers["ETag"]
    async with client.http.get(f"{address}/main.js", headers={"If-None-Match": etag}) as file:
        assert (file.status, await file.read(), file.headers["ETag"]) == (304, b"", etag)


async def test_files_are_compressed_for_whoever_takes_that(client: Client) -> None:
    """The same bytes, in fewer."""
    async with client.http.get("/static/style.css", headers=PLAIN, auto_decompress=False) as file:
        assert "Content-Encoding" not in file.headers
        plain = await file.read()
    async with client.http.get("/static/style.css", headers=CODED, auto_decompress=False) as file:
        assert (file.headers["Content-Encoding"], file.headers["Vary"]) == ("gzip", "Accept-Encoding")
        coded = await file.read()
    assert gzip.decompress(coded) == plain == (folder("static") / "style.css").read_bytes()
    assert len(coded) < len(plain) / 2


def test_another_file_is_another_address(tmp_path: Path) -> None:
    """The hash is that of names and contents, and of nothing else."""
    (tmp_path / "main.js").write_text("let a;\n")
    before = StaticFiles(tmp_path).address
    assert StaticFiles(tmp_path).address == before
    (tmp_path / "main.js").write_text("let b;\n")
    assert StaticFiles(tmp_path).address != before


async def test_what_is_for_readers_of_the_source_is_left_out(client: Client) -> None:
    """A page's scripts come without comments; by themselves modules are served as they are written."""
    async with client.http.get(f"{static_files().address}/main.js") as file:
        page = await file.text()
    assert "/**" not in page
    async with client.http.get("/static/session.js") as file:
        assert await file.read() == (folder("static") / "session.js").read_bytes()


async def test_other_pages_get_the_element_as_one_file(client: Client) -> None:
    """At an address that stays the same, with its style sheet; it is asked for again, since it changes."""
    async with client.http.get("/static/element.js") as file:
        script = await file.text()
        assert file.headers["Cache-Control"] == "no-cache"
    assert not re.search(r"^import ", script, re.MULTILINE)
    assert 'customElements.define("tailrace-chat"' in script
    assert "--tailrace-accent" in script
    assert "/**" not in script


async def test_other_pages_get_the_client_as_one_file(client: Client) -> None:
    """With all that it exports; the page itself takes only the part that it needs."""
    async with client.http.get("/static/client.js") as file:
        script = await file.text()
        assert file.headers["Cache-Control"] == "no-cache"
    assert not re.search(r"^import ", script, re.MULTILINE)
    assert "export class Client" in script
    assert script.rstrip().endswith("export{ApiError,backoff,newKey};")
    assert b"TextDecoderStream" not in static_files().joined("main.js").body


async def test_a_page_gets_a_module_with_its_imports(client: Client) -> None:
    """One file where the page asks; by itself without the hash."""
    async with client.http.get(f"{static_files().address}/main.js") as file:
        joined = await file.text()
    async with client.http.get("/static/main.js") as file:
        alone = await file.text()
    assert re.search(r"^import ", alone, re.MULTILINE)
    assert not re.search(r"^import ", joined, re.MULTILINE)
    assert 'customElements.define("tailrace-session"' in joined


def test_a_page_gets_a_style_sheet_without_comments() -> None:
    """They are for readers of its source; every rule is there."""
    served = static_files().joined("style.css").body.decode()
    assert "/*" not in served
    assert served.split() == re.sub(r"/\*.*?\*/", "", "".join(_parts()), flags=re.DOTALL).split()


def test_every_part_of_the_style_sheet_is_imported_once() -> None:
    """A part that nobody imports would style nothing."""
    parts = [path.read_text() for path in (folder("static") / "css").iterdir()]
    assert sorted(_parts()) == sorted(parts)


def _parts() -> list[str]:
    """Return the parts of the style sheet in the order of their imports."""
    sheet = (folder("static") / "style.css").read_text()
    return [
        (folder("static") / name).read_text() for name in re.findall(r'^@import "\./(.+)";$', sheet, re.M)
    ]
