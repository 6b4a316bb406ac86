"""The isolation matrix: a row for each method and address of the server, with what each kind of visitor gets."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Kind = Literal["session", "own", "admin", "open", "health"]

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Row(NamedTuple):
    """How an address is asked, and what it answers.

    `session`: about something of one owner, which to others does not exist. `own`: about whatever the visitor has.
    `admin`: for admins. `open`: for everybody on an allowed host. `health`: on any host.
    """

    kind: Kind
    owner: int  # the status for the owner; of an `admin` row, for an admin
    other: int  # the status for another owner
    path: str = ""  # with `{session}`, `{stream}`, `{image}`, where it is not that of the route
    json: Any = None
    form: dict[str, str] | None = None
    deletes: bool = False  # whether the owner's request ends what the row is about


PROMPT = {"prompt": "hello", "model": "scripted/short"}

# A POST to an id of somebody else makes a session in the visitor's own namespace: 201, as if the id were free.
ROWS: dict[str, Row] = {
    "GET /": Row("own", 200, 200),
    "GET /sessions/{session_id}": Row("session", 200, 404),
    "GET /sessions/{session_id}/snapshot": Row("session", 200, 404),
    "GET /events": Row("own", 200, 200, "/events?watch={session}:0-0"),
    "POST /sessions/{session_id}/stop": Row("session", 303, 404, form={}),
    "POST /sessions/{session_id}/refresh": Row("own", 200, 200, form={"prompt": "draft"}),
    "GET /sessions/{session_id}/manage": Row("session", 200, 404),
    "POST /sessions/{session_id}/rename": Row("session", 303, 404, form={"title": "renamed"}),
    "POST /sessions/{session_id}/delete": Row("session", 303, 404, form={}, deletes=True),
    "POST /sessions/{session_id}/restore": Row("session", 404, 404, form={}),
    "POST /preferences": Row("own", 303, 303, form={"theme": "dark"}),
    "GET /models": Row("own", 200, 200),
    "GET /ops": Row("admin", 200, 404),
    "GET /ops/events": Row("admin", 200, 404),
    "GET /metrics": Row("admin", 200, 404),
    "GET /login": Row("open", 303, 303),
    "POST /login": Row("open", 403, 403, form={"token": "wrong"}),
    "POST /logout": Row("open", 303, 303, form={}),
    "GET /static/{path}": Row("open", 200, 200, "/static/main.js"),
    "POST /api/sessions/{session_id}/streams": Row("own", 201, 201, json=PROMPT),
    "GET /api/sessions/{session_id}/events": Row(
        "session", 200, 404, "/api/sessions/{session}/events?after=0-0"
    ),
    "DELETE /api/sessions/{session_id}/stream": Row("session", 204, 404),
    "GET /api/sessions": Row("own", 200, 200, "/api/sessions?q=secret"),
    "GET /api/sessions/{session_id}": Row("session", 200, 404),
    "PATCH /api/sessions/{session_id}": Row("session", 200, 404, json={"title": "renamed"}),
    "DELETE /api/sessions/{session_id}": Row("session", 204, 404, deletes=True),
    "POST /api/sessions/{session_id}/restore": Row("session", 404, 404),
    "GET /api/sessions/{session_id}/export": Row("session", 200, 404),
    "POST /api/sessions/import": Row("own", 422, 422, json={}),
    "GET /api/images/{image_id}": Row("session", 200, 404, "/api/images/{image}"),
    "GET /api/streams/{stream_id}": Row("session", 200, 404, "/api/streams/{stream}"),
    "DELETE /api/streams/{stream_id}": Row("session", 200, 404, "/api/streams/{stream}"),
    "GET /api/streams/{stream_id}/events": Row("session", 200, 404, "/api/streams/{stream}/events"),
    "GET /api/models": Row("own", 200, 200),
    "GET /api/openapi.json": Row("own", 200, 200),
    "GET /healthz": Row("health", 200, 200),
    "GET /readyz": Row("health", 200, 200),
    "GET /servez": Row("health", 200, 200),
}
