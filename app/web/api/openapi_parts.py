"""The parts of which the OpenAPI document is made: operations, parameters, answers."""

from __future__ import annotations

from typing import Any

from app.web.input.bodies import ID_PATTERN


def operation(
    summary: str, parameters: list[dict[str, Any]], answers: dict[int, Any], *refusals: int, body: str = ""
) -> dict[str, Any]:
    """Return an operation: what it takes, what it answers, and how it may be refused."""
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    refused = {status: {"description": "Refused.", "content": problem} for status in (*refusals, 401, 421)}
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": parameters,
        "responses": {str(status): answer for status, answer in {**answers, **refused}.items()},
    }
    if body:
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def parameter(name: str, place: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    """Return a parameter."""
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": schema,
        "description": description,
    }


def id_in_path(name: str) -> dict[str, Any]:
    """Return an id in the path."""
    return parameter(
        name, "path", {"type": "string", "pattern": f"^{ID_PATTERN}$"}, "ID: 1 to 64 URL-safe characters."
    )


def content(media: str) -> dict[str, Any]:
    """Return an answer of a media type."""
    return {"description": "OK", "content": {media: {"schema": {"type": "string"}}}}


def json_of(name: str) -> dict[str, Any]:
    """Return an answer that is one of the schemas."""
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": "OK", "content": {"application/json": {"schema": schema}}}


def any_json() -> dict[str, Any]:
    """Return an answer that is some JSON object."""
    return {"description": "OK", "content": {"application/json": {"schema": {"type": "object"}}}}
