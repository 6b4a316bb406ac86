"""What the checks report, as text for a person or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from app.printable import printable

LONGEST = 500  # characters of a text: servers and libraries say more than helps


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


def _found(check: str, level: Level, text: str, mend: str = "") -> Finding:
    """Return a finding. Its text may quote what a server or a file says, so it is cut, and made fit for a terminal."""
    line = printable(" ".join(text[:LONGEST].splitlines()))
    return Finding(check, level, line if len(text) <= LONGEST else f"{line}…", printable(mend))


def ok(check: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return _found(check, Level.OK, text)


def note(check: str, text: str, mend: str = "") -> Finding:
    """Return a fact worth knowing."""
    return _found(check, Level.NOTE, text, mend)


def warning(check: str, text: str, mend: str) -> Finding:
    """Return a finding that should be mended."""
    return _found(check, Level.WARNING, text, mend)


def problem(check: str, text: str, mend: str) -> Finding:
    """Return a finding that must be mended."""
    return _found(check, Level.PROBLEM, text, mend)


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
