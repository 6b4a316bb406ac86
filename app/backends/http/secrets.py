"""What in the configuration of a model server is secret."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from yarl import URL

SHORTEST = 8  # characters; shorter header values are not treated as secrets
_QUERY = re.compile(r"key|token|secret|sig|auth|code", re.IGNORECASE)  # names of query parameters
# Headers with values that answers may contain by chance: versions, names and addresses.
_OPEN = re.compile(
    r"(?i)(http-)?referer|x-title|user-agent|accept.*|content-.*|.*version|.*beta|api-date|origin|via|date"
)


class ConfiguredSecrets(NamedTuple):
    """What error messages must not quote, and what of it is looked for in answers and names, too."""

    hidden: list[str]
    spoken: list[str]


def configured_secrets(url: str | URL, api_key: str | None, headers: Mapping[str, str]) -> ConfiguredSecrets:
    """Return the secrets in the configuration of a server: key, password, query parameters, header values.

    The value of an `Authorization` header counts whole and without its scheme (RFC 9110, section 11.4).
    """
    asked = [value for name, value in URL(url).query.items() if _QUERY.search(name)]
    own = filter(None, [api_key, URL(url).password, *asked])
    closed = [value for name, value in headers.items() if not _OPEN.fullmatch(name)]
    spoken = [*own, *_with_credentials([*credentials(URL(url), None).values(), *closed])]
    return ConfiguredSecrets([*spoken, *_with_credentials(headers.values())], spoken)


def _with_credentials(values: Iterable[str]) -> list[str]:
    """Return the values that are long enough, and what follows an authentication scheme in them."""
    every = [part for value in values for part in (value, value.partition(" ")[2].strip())]
    return [value for value in every if len(value) >= SHORTEST]


def credentials(url: URL, api_key: str | None) -> dict[str, str]:
    """Return the `Authorization` header for the key, or for user and password of the URL (RFC 7617)."""
    if api_key:
        return {"Authorization": f"Bearer {api_key}"}
    if url.user is None and url.password is None:
        return {}
    pair = f"{url.user or ''}:{url.password or ''}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def without_secrets(url: URL) -> str:
    """Return `url` in a form safe to show: without user, password and query, which may contain a key."""
    return str(url.with_user(None).with_query(None)).rstrip("/") if url.host else str(url)
