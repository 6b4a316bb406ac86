"""What the checks report, as text for a person or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"  # works, but not as well or as safely as it should
    PROBLEM = "problem"  # something does not work, or lets in people who should stay out


class Finding(msgspec.Struct, frozen=True):
    """One result of a check."""

    check: str  # one or two words: `stream`, `open files`
    level: Level
    text: str
    mend: str = ""  # what to do about it


def ok(check: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check, Level.OK, text)


def note(check: str, text: str, mend: str = "") -> Finding:
    """Return a fact worth knowing."""
    return Finding(check, Level.NOTE, text, mend)


def warning(check: str, text: str, mend: str) -> Finding:
    """Return a finding that should be mended."""
    return Finding(check, Level.WARNING, text, mend)


def problem(check: str, text: str, mend: str) -> Finding:
    """Return a finding that must be mended."""
    return Finding(check, Level.PROBLEM, text, mend)


def failed(findings: Sequence[Finding]) -> bool:
    """Return whether there is at least one problem."""
    return any(finding.level is Level.PROBLEM for finding in findings)


def as_text(finding: Finding) -> str:
    """Return a finding as one or two lines."""
    line = f"{finding.level:<8} {finding.check}: {finding.text}"
    return f"{line}\n         mend: {finding.mend}" if finding.mend else line


def summary(findings: Sequence[Finding]) -> str:
    """Return the last line of a report."""
    problems, warnings = (
        sum(finding.level is level for finding in findings) for level in (Level.PROBLEM, Level.WARNING)
    )
    return f"{_counted(problems, 'problem')}, {_counted(warnings, 'warning')}"


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def as_json(findings: Sequence[Finding]) -> str:
    """Return a report as one line of JSON."""
    body = {"ok": not failed(findings), "findings": findings}
    return msgspec.json.encode(body).decode()
