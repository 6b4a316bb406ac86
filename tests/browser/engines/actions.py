"""Keys and clicks as WebDriver has them (W3C WebDriver 2, section 15), in its classic form as in BiDi."""

from __future__ import annotations

from typing import Any

# Section 17.4.2; other keys are their character.
KEYS = {
    "Alt": "\ue00a",
    "ArrowDown": "\ue015",
    "ArrowUp": "\ue013",
    "Backspace": "\ue003",
    "Control": "\ue009",
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Shift": "\ue008",
    "Tab": "\ue004",
}


def chord(keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the actions that press keys one after the other and let them go in the opposite order."""
    values = [KEYS.get(key, key) for key in keys]
    downs = [{"type": "keyDown", "value": value} for value in values]
    return _keyboard(downs + [{"type": "keyUp", "value": value} for value in reversed(values)])


def typing(text: str) -> list[dict[str, Any]]:
    """Return the actions that type a text."""
    return _keyboard([{"type": kind, "value": char} for char in text for kind in ("keyDown", "keyUp")])


def move(x: float, y: float) -> list[dict[str, Any]]:
    """Return the actions that move the mouse to a place of the viewport."""
    return _mouse([_moved(x, y)])


def click(x: float, y: float) -> list[dict[str, Any]]:
    """Return the actions of a click at a place of the viewport."""
    button = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
    return _mouse([_moved(x, y), *button])


def _moved(x: float, y: float) -> dict[str, Any]:
    return {"type": "pointerMove", "x": round(x), "y": round(y), "duration": 0}


def _mouse(actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kind = {"pointerType": "mouse"}
    return [{"type": "pointer", "id": "mouse", "parameters": kind, "actions": actions}]


def _keyboard(actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "key", "id": "keyboard", "actions": actions}]
