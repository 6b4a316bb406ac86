"""The static files: compressed, kept by browsers for as long as they are the same, and nothing but files."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from app.web.assets import folder
from app.web.static_files import StaticFiles, static_files, without_comments
from tests.support.client import Client

MODULES = sorted(path for path in folder("static").rglob("*.js"))
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


def test_comments_on_lines_of_their_own_are_left_out() -> None:
    """What else is on a line stays, and so do licences."""
    module = "/*! MIT */\n/** One\n * two. */\nlet a = 1; // why\n  // three\n  let b = `// four`;\n"
    assert without_comments(module) == "/*! MIT */\nlet a = 1; // why\n  let b = `// four`;\n"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_nothing_but_comments_is_left_out(module: Path) -> None:
    """No text of ours looks like a comment: each one that goes stands outside of every template literal."""
    source = module.read_text(encoding="utf-8")
    kept = without_comments(source)
    assert len(re.findall(r"(?<!\\)`", source)) % 2 == len(re.findall(r"(?<!\\)`", kept)) % 2 == 0
    for literal in re.findall(r"(?<!\\)`(?:[^`\\]|\\.)*`", kept, re.DOTALL):
        assert literal in source
