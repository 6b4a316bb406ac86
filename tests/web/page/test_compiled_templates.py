"""Compiled templates are kept for the next start."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest

from app.web.page.compiled_templates import CompiledTemplates

CALLS: list[str] = []


class Environment(jinja2.Environment):
    """Notes what it compiles."""

    def compile(self, source: Any, name: Any = None, *others: Any, **more: Any) -> Any:
        """Compile a template."""
        CALLS.append(name)
        return super().compile(source, name, *others, **more)


@pytest.fixture(autouse=True)
def _kept_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder for compiled modules of their own."""
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "compiled"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    CALLS.clear()


def rendered(templates: Path) -> str:
    """Render the template as a start of the server does."""
    loader = jinja2.FileSystemLoader(templates)
    return Environment(loader=loader, bytecode_cache=CompiledTemplates()).get_template("page.html").render()


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """A folder with a template."""
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "page.html").write_text("one {{ 1 + 1 }}")
    return folder


def test_a_template_is_compiled_once(templates: Path) -> None:
    """The next start takes what the first has kept."""
    assert [rendered(templates), rendered(templates)] == ["one 2", "one 2"]
    assert CALLS == ["page.html"]


def test_a_changed_template_is_compiled_again(templates: Path) -> None:
    """So are damaged ones."""
    assert rendered(templates) == "one 2"
    (templates / "page.html").write_text("two {{ 1 + 1 }}")
    assert rendered(templates) == "two 2"
    [kept] = Path(CompiledTemplates().directory).iterdir()
    kept.write_bytes(kept.read_bytes()[:-20])
    assert rendered(templates) == "two 2"
    assert len(CALLS) == 3


def test_nothing_is_kept_where_python_keeps_nothing(templates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is not made."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert rendered(templates) == "one 2"
    assert not Path(CompiledTemplates().directory).exists()


def test_a_read_only_installation_compiles_each_time(templates: Path, tmp_path: Path) -> None:
    """A file is in the place of the folder: not even root can write there."""
    (tmp_path / "compiled").write_text("")
    assert [rendered(templates), rendered(templates)] == ["one 2", "one 2"]
    assert len(CALLS) == 2
