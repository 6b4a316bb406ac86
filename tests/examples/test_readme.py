"""examples/README.md: nothing is left out, and what it names is there."""

from __future__ import annotations

import re

import pytest

from app.config.settings import TABLE
from tests.examples import readme
from tests.support.processes import ROOT

FOLDER = ROOT / "examples"
TEXT = readme.README.read_text(encoding="utf-8")
FILES = [path for path in sorted(FOLDER.rglob("*")) if path.suffix in (".py", ".js", ".html", ".yaml")]


def test_each_example_is_listed() -> None:
    """In the table, and with its commands."""
    listed = {name for name, _ in re.findall(r"^\| \[(\S+)\]\((\S+)\)", TEXT, re.MULTILINE)}
    agents = {f"agents/{path.name}" for path in (FOLDER / "agents").glob("*.py")}
    others = {path.name for path in FOLDER.iterdir() if path.name not in ("agents", "README.md")}
    assert listed == agents | others
    assert set(re.findall(r"^## (\S+)$", TEXT, re.MULTILINE)) == {
        name.removeprefix("agents/").removesuffix(".py") for name in listed
    }


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)]+)\)", TEXT))))
def test_each_link_leads_somewhere(target: str) -> None:
    """To a file or a folder."""
    assert (FOLDER / target).exists()


@pytest.mark.parametrize("path", [readme.README, *FILES], ids=lambda path: path.name)
def test_only_real_settings_are_named(path: str) -> None:
    """A misspelt one would be ignored. `TAILRACE_URL` is a setting of an example."""
    known = {row.env for row in TABLE} | {"TAILRACE_URL"}
    text = (FOLDER / path).read_text(encoding="utf-8")
    assert set(re.findall(r"TAILRACE_[A-Z_]+", text)) <= known


def test_what_is_installed_is_locked() -> None:
    """The tests run with what a reader installs."""
    lock = (ROOT / "requirements/test.txt").read_text(encoding="utf-8")
    named = readme.installed(TEXT)
    assert {"pydantic-ai-slim", "langgraph", "fastapi"} <= named
    assert named <= set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
