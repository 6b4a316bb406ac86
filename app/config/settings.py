"""The single table of settings: environment names, defaults, units and limits. Checked once, at start."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from platformdirs import user_data_path

from app.config import kinds, servers, strength
from app.config.config_file import ConfigFile
from app.config.rows import PREFIX as PREFIX
from app.config.rows import Row as Row
from app.config.rows import rows

FILE_ITSELF = ("config",)  # settings that are not allowed in the configuration file


class SettingsError(Exception):
    """One or more settings are invalid. The message has one line for each of them, and never shows a secret."""


def data_dir(environ: Mapping[str, str]) -> Path:
    """Return the data folder from the environment, else the platform's default."""
    named = environ.get(f"{PREFIX}DATA_DIR", "").strip()
    return Path(named).expanduser() if named else _data_dir()


def _data_dir() -> Path:
    return user_data_path("tailrace", appauthor=False)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. The environment variable is `TAILRACE_` and the name in capitals. Times are in seconds."""

    host: Annotated[
        kinds.Host, "address to listen on; anything other than loopback requires the mode `tokens` or `proxy`"
    ] = "127.0.0.1"
    port: Annotated[kinds.Port, "port to listen on; `0` picks a free one"] = 8080
    access_token: Annotated[
        kinds.Token | None, "if set, every request needs it, as a bearer token or by signing in"
    ] = None
    auth: Annotated[
        kinds.Auth | None,
        "who is let in: `local`, `tokens` or `proxy`; by default `tokens` with an access token, else `local`",
    ] = None
    proxy_user_header: Annotated[
        kinds.HeaderName, "header in which a trusted proxy names the user, in the mode `proxy`"
    ] = "X-Forwarded-User"
    admins: Annotated[
        kinds.Owners, "users that may see `/ops` and `/metrics` in the mode `proxy`, separated by commas"
    ] = ()
    guesses_url: Annotated[
        kinds.Redis | None,
        "Redis server in which several servers count wrong tokens together; by default each counts its own",
    ] = None
    allowed_hosts: Annotated[
        kinds.OtherHosts,
        "more host names to accept, separated by commas; `*.example.org` means every name below it",
    ] = ()
    allowed_origins: Annotated[kinds.Origins, "other origins whose pages may call the API (CORS)"] = ()
    frame_ancestors: Annotated[kinds.Origins, "other origins whose pages may show a chat in a frame"] = ()
    trusted_proxies: Annotated[
        kinds.Proxies,
        "proxies whose `X-Forwarded-…` headers are believed: addresses and networks, separated by commas",
    ] = ()
    base_path: Annotated[kinds.BasePath, "path to serve under, behind a proxy, such as `/chat`"] = "/"
    data_dir: Annotated[kinds.Folder, "folder for everything that outlives a restart"] = msgspec.field(
        default_factory=_data_dir
    )
    database_url: Annotated[
        kinds.Database | None,
        "`postgresql://…`, or `memory:` to keep nothing; by default a file in the data folder",
    ] = None

    redis_url: Annotated[
        kinds.RedisServer | None,
        "Redis or Valkey server of a cluster: all servers with the same one, and the same PostgreSQL, are its nodes",
    ] = None
    node_url: Annotated[
        kinds.NodeUrl | None,
        "where the other nodes reach this one; by default the address that it listens on",
    ] = None
    node_ttl: Annotated[
        kinds.NodeTtl, "time without a sign of life after which other nodes take over a node's chats"
    ] = 6.0

    config: Annotated[
        kinds.FileOrOff | None,
        "TOML file with settings and model servers; default: `tailrace.toml` here or in the data folder; `off`: none",
    ] = None
    ollama_url: Annotated[kinds.UrlOrOff | None, "Ollama server, used if it responds; `off` disables it"] = (
        "http://127.0.0.1:11434"
    )
    openai_url: Annotated[
        kinds.Url | None, "any OpenAI-compatible server: vLLM, llama.cpp or a hosted service"
    ] = None
    openai_api_key: Annotated[kinds.Key | None, "API key for that server"] = None
    agents: Annotated[
        kinds.Agents,
        "agents in Python, as `module:attribute` or `name=module:attribute`: each is the model `agent/<name>`",
    ] = ()
    embedded: Annotated[kinds.Flag, "the embedded model; `0` turns it off"] = True
    scripted: Annotated[kinds.Flag, "scripted models for tests and demos; `1` turns them on"] = False
    default_model: Annotated[
        kinds.ModelName | None, "model for prompts that name none; by default the first available"
    ] = None
    context_tokens: Annotated[
        kinds.Tokens, "context size assumed when the model server doesn't report one"
    ] = 8192

    supersede_timeout: Annotated[
        kinds.Seconds, "longest time a new prompt waits for previous answers to stop"
    ] = 2.0
    viewer_grace: Annotated[
        kinds.Grace | None, "how long an answer runs with no viewers; `never` sets no limit"
    ] = 300.0
    first_token_timeout: Annotated[kinds.Seconds, "longest wait for a model's first token"] = 300.0
    token_timeout: Annotated[kinds.Seconds, "longest wait between two tokens"] = 60.0
    quiet_timeout: Annotated[
        kinds.Seconds, "longest wait for text while a model server only sends signs of life"
    ] = 3600.0
    drain_timeout: Annotated[kinds.Seconds, "how long running answers may continue at shutdown"] = 20.0
    continue_: Annotated[
        kinds.Continuing,
        "incomplete answers: `ask` offers to continue, `auto` also continues after a restart, or `off`",
    ] = "ask"
    heartbeat: Annotated[kinds.Seconds, "idle time before a viewer is sent a heartbeat"] = 15.0

    max_prompt_bytes: Annotated[kinds.Bytes, "a longer prompt is rejected with `413`"] = 262_144
    max_image_bytes: Annotated[
        kinds.Bytes, "all images of one prompt together; more is rejected with `413`"
    ] = 8_388_608
    max_answer_bytes: Annotated[kinds.Bytes, "an answer is cut off beyond this size"] = 4_194_304
    max_streams: Annotated[kinds.Count, "concurrent answers; further prompts are rejected with `429`"] = 1000
    line_limit: Annotated[
        kinds.Count, "prompts that may wait for a model server with `answers`; further ones get `429`"
    ] = 200
    line_timeout: Annotated[kinds.Seconds, "longest wait there"] = 600.0
    owner_streams: Annotated[kinds.Count, "concurrent answers of one owner; beyond: `429`"] = 8
    owner_event_streams: Annotated[kinds.Count, "open event streams of one owner; beyond: `429`"] = 128
    owner_prompts_per_minute: Annotated[
        kinds.Count, "prompts and imports of one owner within a minute; beyond: `429`"
    ] = 60
    owner_sessions: Annotated[kinds.Count, "chats that one owner may keep; beyond: `507`"] = 10_000
    owner_bytes: Annotated[kinds.Bytes, "text and images that one owner may keep; beyond: `507`"] = (
        1_073_741_824
    )
    stored_bytes: Annotated[
        kinds.Bytes | None, "text and images that the server keeps for all owners together; beyond: `507`"
    ] = None
    free_disk_bytes: Annotated[
        kinds.Bytes, "with less free space on the disk of the data folder, nothing is stored any more: `507`"
    ] = 67_108_864
    queue_limit: Annotated[kinds.Count, "prompts that may wait in one session with `if_active: enqueue`"] = 8
    log_bytes: Annotated[
        kinds.Bytes, "size of a session's event log; readers of older events get `reset`"
    ] = 4_194_304
    log_seconds: Annotated[kinds.Seconds, "age of the events in it; readers of older events get `reset`"] = (
        3600.0
    )

    log_format: Annotated[kinds.Format, "`logfmt`, `json` or `console`"] = "logfmt"
    log_level: Annotated[
        kinds.Level, "`debug` (with the text of each token), `info`, `warning` or `error`"
    ] = "info"

    servers: tuple[servers.ModelServer, ...] = ()  # only from the configuration file

    @property
    def mode(self) -> str:
        """Who is let in: `auth`, or its default."""
        return self.auth or ("tokens" if self.access_token else "local")

    def __repr__(self) -> str:
        """Show the values that differ from the defaults, with secrets masked."""
        plain = Settings()
        changed = [row for row in TABLE if getattr(self, row.field) != getattr(plain, row.field)]
        shown = [f"{row.field}={row.shown(getattr(self, row.field))}" for row in changed]
        shown += [f"servers={self.servers!r}"] if self.servers else []
        return f"Settings({', '.join(shown)})"


TABLE: tuple[Row, ...] = rows(Settings())


def load(environ: Mapping[str, str], file: ConfigFile | None = None) -> Settings:
    """Read the settings from `environ`, and those that it does not set from the configuration file.

    An empty value counts as unset, because Compose files pass unset variables as empty ones. Raises `SettingsError`
    with all problems at once.
    """
    values: dict[str, Any] = {}
    problems: list[str] = [file.problem] if file is not None and file.problem else []
    token: str | None = None
    wrong: set[str] = set()
    for row in TABLE:
        given = _given(row, environ, file)
        if given is None:
            continue
        if row.field == "access_token":
            token = given.raw
        try:
            values[row.field] = row.parse(given.raw)
        except msgspec.ValidationError:
            problems.append(given.problem)
            wrong.add(row.field)
    if file is not None:
        values["servers"] = tuple(_servers(file, environ, values, problems))
    if "access_token" in values and strength.is_weak(values["access_token"]):
        problems.append(f"TAILRACE_ACCESS_TOKEN (value hidden): this is easy to guess. {strength.ADVICE}")
    if "auth" not in wrong:
        problems += _access(values, token or "")
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings(**values)


class _Given(NamedTuple):
    """A value as written in the environment, and the message to show if it is invalid."""

    raw: str | None  # `None` if the configuration file has a value of the wrong type
    problem: str


def _given(row: Row, environ: Mapping[str, str], file: ConfigFile | None) -> _Given | None:
    if raw := environ.get(row.env, "").strip():
        return _Given(raw, row.problem(raw))
    if file is None or row.key not in file.values or row.field in FILE_ITSELF:
        return None
    value = file.values[row.key]
    written = row.written(value)
    shown = repr(value) if written is None else written
    return (
        None if written == "" else _Given(written, f"{file.where((row.key,))}: {row.problem(shown, row.key)}")
    )


def _servers(
    file: ConfigFile, environ: Mapping[str, str], values: Mapping[str, Any], problems: list[str]
) -> list[servers.ModelServer]:
    """Return the model servers of the file. Add their problems, and those for unknown keys, to `problems`."""
    known = [*(row.key for row in TABLE if row.field not in FILE_ITSELF), "servers"]
    mistakes = [
        servers.Mistake((key,), f"{key}: {servers.unknown(key, known)}")
        for key in file.values
        if key not in known
    ]
    taken = ["openai"] if values.get("openai_url") else []
    found, wrong = servers.read(file.values.get("servers", {}), environ, taken)
    problems += [f"{file.where(mistake.path)}: {mistake.sentence}" for mistake in [*mistakes, *wrong]]
    return found


def exposes_secret(file: ConfigFile) -> bool:
    """Return whether the configuration file contains a secret and every user of the machine can read it."""
    if not file.world_readable:
        return False
    own = [(row, file.values.get(row.key)) for row in TABLE]
    return servers.holds_secret(file.values.get("servers", {})) or any(
        isinstance(value, str) and ("@" in value or row.field.endswith(("_token", "_key")))
        for row, value in own
    )


def _access(values: Mapping[str, Any], token: str) -> list[str]:
    """Return a problem if the settings contradict each other about who is let in. `token` may be an invalid one."""
    mode, host = values.get("auth") or ("tokens" if token else "local"), values.get("host", "")
    if token and mode != "tokens":
        return [f"TAILRACE_AUTH={mode!r}: TAILRACE_ACCESS_TOKEN has no effect then. Set one of them"]
    if mode == "proxy" and not values.get("trusted_proxies"):
        return ["TAILRACE_AUTH='proxy': nobody would be let in. Set TAILRACE_TRUSTED_PROXIES"]
    if mode == "local" and host and not is_loopback(host):
        return [
            f"TAILRACE_HOST={host!r}: this would expose the server to other machines without a token. "
            "Set TAILRACE_ACCESS_TOKEN, or TAILRACE_AUTH to tokens or proxy, or use 127.0.0.1"
        ]
    return []


def is_loopback(host: str) -> bool:
    """Return whether `host` is reachable only from this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: it may resolve to anything
        return False


def unknown(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables that begin with `TAILRACE_` but are no settings, each with the closest setting or `None`."""
    known = [row.env.removeprefix(PREFIX) for row in TABLE]
    strays = (name for name in sorted(environ) if name.startswith(PREFIX))
    return {
        PREFIX + name: next((PREFIX + match for match in get_close_matches(name, known, n=1)), None)
        for name in (stray.removeprefix(PREFIX) for stray in strays)
        if name not in known
    }
