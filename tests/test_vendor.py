"""Third-party files are what `THIRD-PARTY.md` says they are."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| `([^`]+)` \|.*\| MIT, `([^`]+)` \| `([0-9a-f]{64})` \|$", re.MULTILINE)


def test_third_party_files_are_listed_and_unchanged() -> None:
    """Every vendored script has a row with its hash and its licence, and so has the list of words."""
    rows = ROW.findall((ROOT / "THIRD-PARTY.md").read_text(encoding="utf-8"))
    scripts = {path.relative_to(ROOT).as_posix() for path in (ROOT / "static/vendor").glob("*.js")}
    assert {file for file, _, _ in rows} == scripts | {"app/config/common_words.txt"}
    for file, licence, digest in rows:
        assert hashlib.sha256((ROOT / file).read_bytes()).hexdigest() == digest, file
        assert "Permission is hereby granted" in (ROOT / licence).read_text(encoding="utf-8")
