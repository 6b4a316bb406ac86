"""The one table of settings: environment names, defaults, units and limits, checked once at start."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta
from platformdirs import user_data_path

from app.hosts import Entry

PREFIX = "TAILRACE_"
_DAY = 86_400


class SettingsError(Exception):
    """One or more settings are wrong. The message names all of them, one a line, and never shows a secret."""


def _kind(expects: str, *, unit: str = "", none: str = "", secret: bool = False, **limits: Any) -> Meta:
    """Describe a kind of value: what is expected, its unit, the word for `None` if any, and its limits."""
    return Meta(extra={"expects": expects, "unit": unit, "none": none, "secret": secret}, **limits)


_ADDRESS = r"^https?://[^\s@/?#]+(/[^\s?#]*)?$"

Host = Annotated[str, _kind("an address or a host name, without a port", pattern=r"^[A-Za-z0-9.:-]+$")]
OtherHosts = Annotated[
    tuple[Entry, ...],
    _kind("host names such as chat.example.org, *.example.org or chat.local:8080, separated by commas"),
]
Port = Annotated[int, _kind("a port number, 0 to 65535", ge=0, le=65_535)]
Token = Annotated[str, _kind("at least 8 visible ASCII characters", secret=True, pattern=r"^[!-~]{8,}$")]
Key = Annotated[str, _kind("visible ASCII characters without spaces", secret=True, pattern=r"^[!-~]+$")]
Database = Annotated[
    str, _kind("postgresql://… or memory:", secret=True, pattern=r"^(postgresql://\S+|memory:)$")
]
Url = Annotated[str, _kind("an http:// or https:// address", pattern=_ADDRESS)]
UrlOrOff = Annotated[str, _kind("an http:// or https:// address, or off", none="off", pattern=_ADDRESS)]
ModelName = Annotated[str, _kind("a model as backend/name", pattern=r"^[^\s/]+/\S+$")]
Flag = Annotated[bool, _kind("1 or 0")]
Folder = Annotated[Path, _kind("the path of a folder")]
Seconds = Annotated[float, _kind("seconds above 0, up to 86400", unit="s", gt=0, le=_DAY)]
Grace = Annotated[float, _kind("seconds from 0 to 86400, or never", unit="s", none="never", ge=0, le=_DAY)]
Bytes = Annotated[int, _kind("a whole number of bytes, at least 1024", unit="bytes", ge=1024, le=2**40)]
Tokens = Annotated[int, _kind("a whole number of tokens, at least 256", unit="tokens", ge=256, le=2**30)]
Count = Annotated[int, _kind("a whole number, at least 1", ge=1, le=1_000_000)]
Format = Literal["logfmt", "json", "console"]
Continuing = Literal["ask", "auto", "off"]
Level = Literal["debug", "info", "warning", "error"]


def _data_dir() -> Path:
    return user_data_path("tailrace", appauthor=False)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting. The environment has its name in capitals behind `TAILRACE_`; times are in seconds."""

    host: Annotated[Host, "address to listen on; anything but loopback needs an access token"] = "127.0.0.1"
    port: Annotated[Port, "port to listen on; `0` picks a free one"] = 8080
    access_token: Annotated[Token | None, "set: every request needs it, as a bearer token or by login"] = None
    allowed_hosts: Annotated[
        OtherHosts, "further names that the server answers to, by commas; `*.example.org` is every name below"
    ] = ()
    data_dir: Annotated[Folder, "folder for what outlives a restart"] = msgspec.field(
        default_factory=_data_dir
    )
    database_url: Annotated[
        Database | None, "`postgresql://…`; else a file in that folder; `memory:` keeps nothing"
    ] = None

    ollama_url: Annotated[UrlOrOff | None, "Ollama, used if it answers; `off` never asks"] = (
        "http://127.0.0.1:11434"
    )
    openai_url: Annotated[Url | None, "any OpenAI-compatible server: vLLM, llama.cpp, hosted ones"] = None
    openai_api_key: Annotated[Key | None, "the key for that server"] = None
    embedded: Annotated[Flag, "the embedded model; `0` turns it off"] = True
    scripted: Annotated[Flag, "the scripted models for tests and demonstrations; `1` turns them on"] = False
    default_model: Annotated[ModelName | None, "for prompts that name none; else the first there is"] = None
    context_tokens: Annotated[Tokens, "context assumed for a model whose server does not tell it"] = 8192

    supersede_timeout: Annotated[Seconds, "bound of a newer prompt's wait for its predecessors"] = 2.0
    viewer_grace: Annotated[Grace | None, "how long an unwatched stream goes on; `never`: to its end"] = 300.0
    first_token_timeout: Annotated[Seconds, "how long a model may be silent before its first token"] = 300.0
    token_timeout: Annotated[Seconds, "how long a model may be silent between two tokens"] = 60.0
    drain_timeout: Annotated[Seconds, "how long running streams may go on at shutdown"] = 20.0
    continue_: Annotated[
        Continuing,
        "answers that broke off: `ask` offers to go on, `auto` goes on after a restart too, or `off`",
    ] = "ask"
    heartbeat: Annotated[Seconds, "silence after which a viewer is sent a heartbeat"] = 15.0

    max_prompt_bytes: Annotated[Bytes, "a longer prompt is answered `413`"] = 262_144
    max_image_bytes: Annotated[Bytes, "all images of a prompt together; larger ones are answered `413`"] = (
        8_388_608
    )
    max_answer_bytes: Annotated[Bytes, "an answer is cut off past this size"] = 4_194_304
    max_streams: Annotated[Count, "streams at once; one more is answered `429`"] = 1000
    queue_limit: Annotated[Count, "prompts that may wait in one session with `if_active: enqueue`"] = 8
    log_bytes: Annotated[Bytes, "size of a session's log; older events are answered with `reset`"] = 4_194_304
    log_seconds: Annotated[Seconds, "age of events in a session's log; likewise"] = 3600.0

    log_format: Annotated[Format, "`logfmt`, `json` or `console`"] = "logfmt"
    log_level: Annotated[Level, "`debug` (with the text of each token), `info`, `warning` or `error`"] = (
        "info"
    )

    def __repr__(self) -> str:
        """Show what differs from the defaults; secrets stay hidden."""
        plain = Settings()
        changed = [row for row in TABLE if getattr(self, row.field) != getattr(plain, row.field)]
        shown = (f"{row.field}={'***' if row.secret else repr(getattr(self, row.field))}" for row in changed)
        return f"Settings({', '.join(shown)})"


class Row(NamedTuple):
    """One setting as the table, the messages and the documentation see it."""

    field: str
    type: Any  # as msgspec converts to it
    default: str  # as it is written in the environment
    unit: str  # "s", "bytes", "tokens" or ""
    expects: str  # completes "expected …"
    none: str  # the word that stands for `None`, "" if there is none
    secret: bool
    description: str

    @property
    def env(self) -> str:
        """The name in the environment."""
        return PREFIX + self.field.rstrip("_").upper()  # a word that Python keeps to itself ends in `_` there

    @property
    def is_list(self) -> bool:
        """Whether the value is a list, separated by commas."""
        return get_origin(self.type.__origin__) is tuple

    def parse(self, raw: str) -> Any:
        """Return the value that `raw` means. Raises `msgspec.ValidationError` if it means none."""
        if raw and raw == self.none:
            return None
        value = _entries(raw) if self.is_list else raw
        return msgspec.convert(value, self.type, strict=False, dec_hook=_made)

    def problem(self, raw: str) -> str:
        """Say what is wrong with `raw`, of a list only with what is wrong in it.

        A value with an `@` stays hidden too: it may end a password.
        """
        if self.is_list:
            raw = ", ".join(entry for entry in _entries(raw) if not self._takes(entry))
        shown = " (value hidden)" if self.secret or "@" in raw else f"={raw[:80]!r}"
        return f"{self.env}{shown}: expected {self.expects}"

    def _takes(self, entry: str) -> bool:
        try:
            self.parse(entry)
        except msgspec.ValidationError:
            return False
        return True


def _entries(raw: str) -> list[str]:
    return [entry.strip() for entry in raw.split(",") if entry.strip()]


def _made(kind: type, value: Any) -> Any:
    """Make what is not a type of JSON. Raises `ValueError`, which msgspec turns into its own error."""
    return Path(value).expanduser() if kind is Path else kind(value)


def _row(field: str, annotation: Any) -> Row:
    """Read one row from a field's `Annotated[kind, description]` or `Annotated[kind | None, description]`."""
    description = annotation.__metadata__[-1]
    optional = get_origin(annotation.__origin__) in (Union, UnionType)
    kind = get_args(annotation.__origin__)[0] if optional else annotation
    meta = kind.__metadata__[0]
    notes: dict[str, Any] = (meta.extra or {}) if isinstance(meta, Meta) else {}
    return Row(
        field=field,
        type=kind,
        default=_default(field),
        unit=notes.get("unit", ""),
        expects=notes.get("expects") or "one of " + ", ".join(get_args(kind.__origin__)),
        none=notes.get("none", ""),
        secret=notes.get("secret", False),
        description=description,
    )


def _default(field: str) -> str:
    """Write a default as one would in the environment."""
    match getattr(Settings(), field):
        case None | ():
            return "none"
        case Path():
            return "the platform's data folder"
        case bool() as flag:
            return str(int(flag))
        case float() as number:
            return f"{number:g}"
        case value:
            return str(value)


TABLE: tuple[Row, ...] = tuple(
    _row(field, annotation) for field, annotation in get_type_hints(Settings, include_extras=True).items()
)


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`. An empty value counts as unset, as compose files pass them.

    Raises `SettingsError`, which tells all that is wrong at once.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for row in TABLE:
        raw = environ.get(row.env, "").strip()
        if not raw:
            continue
        try:
            values[row.field] = row.parse(raw)
        except msgspec.ValidationError:
            problems.append(row.problem(raw))
    problems += _exposure(values.get("host"), environ.get("TAILRACE_ACCESS_TOKEN", "").strip())
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings(**values)


def _exposure(host: str | None, token: str) -> list[str]:
    """Refuse an address that other machines reach while nothing asks them for a token."""
    if host is None or token or is_loopback(host):
        return []
    return [
        f"TAILRACE_HOST={host!r}: other machines could reach the server; "
        "set TAILRACE_ACCESS_TOKEN too, or keep 127.0.0.1"
    ]


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: it may resolve to anything
        return False


def unknown(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return the names that look like settings and are none, each with the one that may be meant."""
    known = [row.env.removeprefix(PREFIX) for row in TABLE]
    strays = (name for name in sorted(environ) if name.startswith(PREFIX))
    return {
        PREFIX + name: next((PREFIX + match for match in get_close_matches(name, known, n=1)), None)
        for name in (stray.removeprefix(PREFIX) for stray in strays)
        if name not in known
    }
