"""The table tells what was measured, and which gates hold."""

from __future__ import annotations

from tests.benchmarks.page.table import Gate, at_most, none_of, render


def test_a_gate_holds_up_to_its_limit() -> None:
    """The limit itself is still good; what is over it is not."""
    assert [at_most("weight, KB", size, 25.0).holds for size in (24.9, 25.0, 25.1)] == [True, True, False]


def test_what_must_not_be_there_is_told() -> None:
    """A finding is counted and shown, and the gate fails."""
    assert none_of("faults", []) == Gate("faults", "0", "0", True)
    assert none_of("faults", ["one", "two"]) == Gate("faults", "0", "2; one; two", False)


def test_each_gate_is_a_line() -> None:
    """What could not be measured stands there too, with the reason."""
    gates = [at_most("requests", 13, 12), Gate("axe", "0", "npm is not installed", None)]
    assert render(gates).splitlines() == [
        "what      gate  measured",
        "requests  ≤ 12  13                    ✗",
        "axe       0     npm is not installed  not measured",
    ]
