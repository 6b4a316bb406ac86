"""What each address needs of the owner of its session."""

from __future__ import annotations

from app.web import routes
from app.web.nodes.routes import READS
from app.web.security.login import LoginPage


def test_every_address_is_one_of_the_server() -> None:
    """An address that was renamed must not become one that any node answers."""
    known = [*(described.route for described in routes.API), *routes.pages(LoginPage(None))]
    assert set(READS) <= {route.path for route in known if route.method == "GET"}


def test_every_address_of_a_session_is_known() -> None:
    """What reads a session is put into the table on purpose."""
    known = [*(described.route for described in routes.API), *routes.pages(LoginPage(None))]
    of_sessions = {
        route.path for route in known if "{session_id}" in route.path or "{stream_id}" in route.path
    }
    reading = {route.path for route in known if route.method == "GET"}
    assert of_sessions & reading == set(READS)
