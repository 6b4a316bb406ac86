"""The model servers of the configuration file. Validates their tables; each message says how to fix the mistake."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

import msgspec

from app.config.toml_lines import Path

Api = Literal["openai", "ollama"]
RESERVED = {
    "ollama": "It is the prefix of the models of TAILRACE_OLLAMA_URL.",
    "embedded": "It is the prefix of the embedded model.",
    "scripted": "It is the prefix of the scripted models.",
    "agent": "It is the prefix of agents.",
}
_ADDRESS = r"^(?i:https?)://([^\s@/?#]+@)?[^\s@/?#]+(/[^\s?#]*)?(\?[^\s#]*)?$"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}"
_KEY = r"[!-~]+"
_HEADER = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # RFC 9110, section 5.6.2
_OURS = {"host", "content-type", "content-length", "transfer-encoding", "connection", "accept-encoding"}
_SECRET = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
_MOST_TOKENS = 2**30
_MOST_ANSWERS = 10_000


class Mistake(NamedTuple):
    """An invalid value at a path of the file. The sentence never shows a secret."""

    path: Path
    sentence: str


class ModelServer(msgspec.Struct, frozen=True, kw_only=True):
    """One model server. Its `name` is the prefix of its models."""

    name: str
    url: str
    api: Api = "openai"
    key: str | None = None
    headers: Mapping[str, str] = {}
    models: tuple[str, ...] = ()  # models that can be used even if the server does not list them
    context: int | None = None  # tokens, for models whose context the server does not report
    answers: int | None = None  # that it gives at once; further prompts wait in line

    def __repr__(self) -> str:
        return f"ModelServer({self.name!r}, api={self.api!r})"


KEYS = ("name", "url", "api", "key", "key_env", "headers", "models", "context", "answers")


def is_address(text: str) -> bool:
    """Return whether this is the URL of a server, with a port from 0 to 65535 and brackets around IPv6."""
    if re.fullmatch(_ADDRESS, text) is None:
        return False
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # raises for an impossible port
        if host and "[" in parts.netloc:
            ip_address(host)  # before CPython 3.11.4 nobody else looks between the brackets
        return bool(host)
    except ValueError:
        return False


def read(
    servers: Any, environ: Mapping[str, str], taken: Iterable[str]
) -> tuple[list[ModelServer], list[Mistake]]:
    """Return the valid servers of `[[servers]]` or `[servers.NAME]` tables, and all mistakes in the tables.

    `taken` are the names that other settings already use.
    """
    mistakes: list[Mistake] = []
    found: list[ModelServer] = []
    seen = {name.casefold() for name in taken}
    for path, table, named in _tables(servers, mistakes):
        server = _Reader(path, table, environ, mistakes).server(named, seen)
        if server is not None:
            found.append(server)
    return found, mistakes


def holds_secret(servers: Any) -> bool:
    """Return whether the tables themselves contain a key or a password."""
    return any(
        isinstance(table.get("key"), str)
        or "@" in str(table.get("url", ""))
        or any(
            isinstance(value, str) and _SECRET.search(name) for name, value in _items(table.get("headers"))
        )
        for _, table, _ in _tables(servers, [])
    )


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    return value.items() if isinstance(value, Mapping) else ()


def _tables(servers: Any, mistakes: list[Mistake]) -> Iterator[tuple[Path, Mapping[str, Any], str | None]]:
    """Yield each server's path, its table, and the name in the table header or `None`."""
    entries: list[tuple[str | int, Any]]
    match servers:
        case Mapping():
            entries = list(servers.items())
        case list():
            entries = list(enumerate(servers))
        case _:
            mistakes.append(
                Mistake(("servers",), "servers: expected tables, as [servers.NAME] or [[servers]]")
            )
            return
    for key, table in entries:
        if isinstance(table, Mapping):
            yield ("servers", key), table, key if isinstance(key, str) else None
        else:
            sentence = f"servers: {key!r} is not a table. Name a server as [servers.NAME]"
            mistakes.append(Mistake(("servers", key), sentence))


class _Reader:
    """Reads one table, and appends its mistakes to `mistakes`."""

    def __init__(
        self, path: Path, table: Mapping[str, Any], environ: Mapping[str, str], mistakes: list[Mistake]
    ) -> None:
        self._path = path
        self._table = table
        self._environ = environ
        self._mistakes = mistakes

    def server(self, named: str | None, seen: set[str]) -> ModelServer | None:
        """Return the server, or `None` if its table has mistakes. Adds its name to `seen`."""
        before = len(self._mistakes)
        self._refuse_unknown()
        name = self._name(named, seen)
        url = self._address()
        api: Api = (
            self._one("api", lambda value: value in get_args(Api), 'one of "openai", "ollama"') or "openai"
        )
        key = self._key()
        if key is not None and url is not None and "@" in url:
            self._complain("key", "the url has a password already. Keep one of the two")
        headers = self._headers()
        models = self._models()
        context = self._one("context", _is_context, "a whole number of tokens, at least 256")
        answers = self._one("answers", _is_count, f"a whole number from 1 to {_MOST_ANSWERS}")
        if len(self._mistakes) > before or name is None or url is None:
            return None
        return ModelServer(
            name=name,
            url=url,
            api=api,
            key=key,
            headers=headers,
            models=tuple(models),
            context=context,
            answers=answers,
        )

    def _complain(self, key: str, sentence: str) -> None:
        self._mistake(key, f"{key}: {sentence}")

    def _one(self, key: str, is_right: Callable[[Any], bool], expected: str) -> Any:
        value = self._table.get(key)
        if value is None or is_right(value):
            return value
        self._complain(key, f"expected {expected}")
        return None

    def _refuse_unknown(self) -> None:
        for key in self._table:
            if key not in KEYS:
                self._complain(key, unknown(key, KEYS))

    def _name(self, named: str | None, seen: set[str]) -> str | None:
        name = self._table.get("name", named)
        if name is None:
            self._complain("name", 'it is missing. Add name = "…": it becomes the prefix of the models')
            return None
        if not isinstance(name, str) or not re.fullmatch(_NAME, name):
            self._complain(
                "name", f"{_shown(name)}: expected up to 32 letters, digits, dots, hyphens and underscores"
            )
            return None
        if name.casefold() in RESERVED:
            self._complain("name", f"{name!r} is taken. {RESERVED[name.casefold()]} Choose another name")
            return None
        if name.casefold() in seen:
            self._complain("name", f"{name!r} is taken by another server. Choose another name")
            return None
        seen.add(name.casefold())
        return name

    def _address(self) -> str | None:
        if "url" not in self._table:
            self._complain("url", 'it is missing. Add url = "http://…"')
            return None
        url = self._table["url"]
        if isinstance(url, str) and is_address(url.strip()):
            return url.strip()
        hidden = isinstance(url, str) and re.search(r"[@?]", url)
        shown = "(value hidden)" if hidden else _shown(url)
        self._complain("url", f"{shown}: expected an http:// or https:// URL")
        return None

    def _key(self) -> str | None:
        if "key" in self._table and "key_env" in self._table:
            self._complain("key_env", "there is a key already. Keep one of the two")
            return None
        variable = self._table.get("key_env")
        value = {"env": variable} if variable is not None else self._table.get("key")
        return self._secret("key_env" if variable is not None else "key", value, _KEY)

    def _headers(self) -> dict[str, str]:
        headers = self._table.get("headers", {})
        if not isinstance(headers, Mapping):
            self._complain("headers", 'expected a table, as headers = { "api-key" = "…" }')
            return {}
        found: dict[str, str] = {}
        for name, value in headers.items():
            if not re.fullmatch(_HEADER, name):
                self._complain("headers", f"{name!r} is not a name of a header")
            elif name.lower() in _OURS:
                self._complain("headers", f"{name!r} is set by Tailrace. Leave it out")
            elif (text := self._secret(f"headers.{name}", value, r"[ -~]+")) is not None:
                found[name] = text
        return found

    def _secret(self, key: str, value: Any, pattern: str) -> str | None:
        """Return a text, given directly or as a variable: `{ env = "NAME" }`."""
        if value is None:
            return None
        where = key.partition(".")[0]
        if isinstance(value, Mapping) and set(value) == {"env"} and isinstance(value["env"], str):
            text = self._environ.get(value["env"], "").strip()
            if not text:
                self._mistake(where, f"{key}: the variable {value['env']} is not set")
                return None
        elif isinstance(value, str):
            text = value.strip()
        else:
            self._mistake(where, f'{key}: expected text, or {{ env = "NAME" }} for a variable that holds it')
            return None
        if not re.fullmatch(pattern, text):
            self._mistake(where, f"{key} (value hidden): expected visible ASCII characters")
            return None
        return text

    def _mistake(self, key: str, sentence: str) -> None:
        self._mistakes.append(Mistake((*self._path, key), sentence))

    def _models(self) -> list[str]:
        models = self._table.get("models", [])
        if not isinstance(models, list) or not all(isinstance(name, str) and name.strip() for name in models):
            self._complain("models", 'expected a list of names, as models = ["a", "b"]')
            return []
        for name in models:
            if not name.strip().isprintable():
                self._complain("models", f"{_shown(name)} has characters that cannot be shown")
        return [name.strip() for name in models]


def unknown(key: str, known: Iterable[str]) -> str:
    """Return the message for an unknown key, with the closest known key if there is one."""
    plain = key.lower().removeprefix("tailrace_")
    near = get_close_matches(plain, list(known), n=1)
    return f"there is no such setting. Did you mean {near[0]}?" if near else "there is no such setting"


def _is_context(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 256 <= value <= _MOST_TOKENS


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_ANSWERS


def _shown(value: Any) -> str:
    return repr(value)[:80]
