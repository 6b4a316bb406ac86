"""The table of settings: what it takes, what it refuses, and what it says then."""

from __future__ import annotations

import base64
import os
import secrets
import uuid
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest

from app.config.settings import TABLE, Row, Settings, SettingsError, is_loopback, load, unknown
from app.config.strength import is_weak
from app.streams.bounds import Bounds
from app.wiring.parts import bounds


def refusal(**environ: str) -> list[str]:
    """Return the lines of the message that these settings are refused with."""
    with pytest.raises(SettingsError) as caught:
        load({f"TAILRACE_{name}": value for name, value in environ.items()})
    return str(caught.value).splitlines()


def test_nothing_set_gives_the_defaults() -> None:
    """An empty environment is a working configuration."""
    assert load({}) == Settings()


def test_an_empty_value_counts_as_unset() -> None:
    """Compose files pass `${NAME:-}` as an empty string."""
    assert load({row.env: "" for row in TABLE}) == Settings()


def test_values_are_converted_to_their_types() -> None:
    """Numbers, flags, lists and paths come as text and leave as what they are."""
    chosen = load(
        {
            "TAILRACE_PORT": "9000",
            "TAILRACE_EMBEDDED": "0",
            "TAILRACE_SUPERSEDE_TIMEOUT": "0.25",
            "TAILRACE_ALLOWED_HOSTS": "chat.example.org, [fd00::1]",
            "TAILRACE_DATA_DIR": "~/tailrace",
        }
    )
    assert (chosen.port, chosen.embedded, chosen.supersede_timeout) == (9000, False, 0.25)
    assert chosen.allowed_hosts == ("chat.example.org", "[fd00::1]")
    assert chosen.data_dir.is_absolute()


def test_allowed_hosts_are_names_with_or_without_a_port() -> None:
    """Underscores, IDN, wildcards, ports; a comma too many does not matter."""
    names = ("my_host", "bücher.example", "*.example.org", "chat.local:8443", "[::1]:80")
    assert load({"TAILRACE_ALLOWED_HOSTS": ", ".join(names) + ","}).allowed_hosts == names


def test_of_a_list_only_the_mistakes_are_shown() -> None:
    """A long list is not to be searched for them."""
    [line] = refusal(ALLOWED_HOSTS="chat.example.org, https://a.example, *")
    assert line.startswith("TAILRACE_ALLOWED_HOSTS='https://a.example, *': expected host names")


@pytest.mark.parametrize(("word", "seconds"), [("never", None), ("0", 0.0), ("12.5", 12.5)])
def test_the_viewer_grace_may_be_never(word: str, seconds: float | None) -> None:
    """`never` is `None`; `0` is a grace time of no length."""
    assert load({"TAILRACE_VIEWER_GRACE": word}).viewer_grace == seconds


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000",
        "HTTPS://api.example.org/v1/",
        "https://user:p%40ss@api.example.org/inference",
        "http://[fd00::1]:8000/v1",
        "https://x.example.org/openai/deployments/a/chat/completions?api-version=2024-06-01",
        "https://api.example.org?key=abc",
    ],
)
def test_the_address_of_a_server_may_be_pasted(url: str) -> None:
    """With user and password, path and query."""
    assert load({"TAILRACE_OPENAI_URL": url, "TAILRACE_OLLAMA_URL": url}).openai_url == url


@pytest.mark.parametrize(
    "url", ["http://x:99999", "http://x:abc", "http://[fd00::1", "http://fd00::1:8000", "http://[zz]/v1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """With a sentence, before anything is asked there."""
    for name in ("OPENAI_URL", "OLLAMA_URL"):
        (line,) = refusal(**{name: url})
        assert line.startswith(f"TAILRACE_{name}={url!r}: expected an http:// or https:// URL")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://0.0.0.0:8080",
            "http://[::]:8080",
            "http://[0:0::0]",
            "http://0:8080",
            "http://a:0",
            "http://a,b",
        ),
        *("http://a:8080?x=1", "http://a:8080/?", "http://a#b", "http://me@a:8080", "http://me:pw@a:8080"),
    ],
)
def test_an_address_where_no_node_is_reached_is_refused(url: str) -> None:
    """Each would load, and then every request of another node would fail."""
    (line,) = refusal(NODE_URL=url)
    assert line.startswith("TAILRACE_NODE_URL")
    assert "at which the other nodes reach this one: not 0.0.0.0 or ::, and without a user, a query" in line


@pytest.mark.parametrize("url", ["http://10.0.0.3:8080", "https://a.example/node", "http://[fd00::3]:8080/"])
def test_an_address_of_a_node(url: str) -> None:
    """Any that other machines may reach."""
    assert load({"TAILRACE_NODE_URL": url}).node_url == url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://h:notaport/x",
        "postgresql://h:70000/x",
        "postgresql://[::1/x",
        "postgresql://a,,b/x",
        *("postgresql://me:pass/word@h/x", "postgresql://me:p#w@h/x", "postgresql://me:p@w@h/x"),
    ],
)
def test_an_address_of_postgresql_without_a_host_is_refused(url: str) -> None:
    """Its client would call a part of the password a bad number, and show it."""
    (line,) = refusal(DATABASE_URL=url)
    assert line.startswith("TAILRACE_DATABASE_URL (value hidden): expected postgresql://user:password@host")
    assert "%2F for /" in line


@pytest.mark.parametrize(
    "url",
    [
        "memory:",
        "postgresql:///x?host=/run/postgresql&port=5433",
        *("postgresql://me@/x", "postgresql://me:p%40w@h/x", "postgresql://h", "postgresql://a:1,b,c:3/x"),
        *(
            "postgresql://me:p:w@[::1]:5432/x",
            "postgresql://[fe80::1%eth0]:5432/x",
            "postgresql://%2Frun%2Fpostgresql/x",
        ),
    ],
)
def test_an_address_of_a_database(url: str) -> None:
    """One host or several, or a socket."""
    assert load({"TAILRACE_DATABASE_URL": url}).database_url == url


def test_a_model_s_name_may_have_spaces() -> None:
    """Also as the default."""
    assert load({"TAILRACE_DEFAULT_MODEL": "gpu/my own model"}).default_model == "gpu/my own model"


def test_ollama_can_be_turned_off() -> None:
    """`off` is the one word for not asking an Ollama at all."""
    assert load({"TAILRACE_OLLAMA_URL": "off"}).ollama_url is None


def test_all_wrong_values_are_told_at_once() -> None:
    """One start shows every mistake, each on its line with the name, the value and what is expected."""
    lines = refusal(PORT="eighty", HEARTBEAT="-1", LOG_FORMAT="xml", OPENAI_URL="ftp://models")
    assert [line.split("=")[0] for line in lines] == [
        "TAILRACE_PORT",
        "TAILRACE_OPENAI_URL",
        "TAILRACE_HEARTBEAT",
        "TAILRACE_LOG_FORMAT",
    ]
    assert lines[0] == "TAILRACE_PORT='eighty': expected a port number, 0 to 65535"
    assert lines[3].endswith("expected one of logfmt, json, console")


WRONG = {
    "agents": "my agent:answer",
    "host": "http://127.0.0.1",
    "port": "65536",
    "access_token": "short",
    "auth": "everybody",
    "proxy_user_header": "X Forwarded User",
    "admins": "alice, bob/carol",
    "guesses_url": "http://127.0.0.1:6379",
    "allowed_hosts": "https://chat.example.org",
    "allowed_origins": "app.example.org, *",
    "frame_ancestors": "https://app.example.org/page",
    "trusted_proxies": "10.0.0.1/8",
    "base_path": "chat",
    "database_url": "mysql://user@host/name",
    "redis_url": "redis+unix:///run/redis.sock",
    "node_url": "10.0.0.3:8080",
    "node_ttl": "0.5",
    "ollama_url": "127.0.0.1:11434",
    "openai_url": "http://user:pass word@models",
    "openai_api_key": "two words",
    "embedded": "maybe",
    "scripted": "2",
    "default_model": "llama",
    "context_tokens": "8k",
    "supersede_timeout": "nan",
    "viewer_grace": "-1",
    "first_token_timeout": "0",
    "token_timeout": "inf",
    "quiet_timeout": "-1",
    "drain_timeout": "1e9",
    "max_image_bytes": "8MB",
    "continue_": "perhaps",
    "heartbeat": "0",
    "max_prompt_bytes": "0",
    "max_answer_bytes": "4MiB",
    "max_streams": "0",
    "line_limit": "0",
    "line_timeout": "-1",
    "owner_streams": "0",
    "owner_event_streams": "0",
    "owner_prompts_per_minute": "many",
    "owner_sessions": "10,000",
    "owner_bytes": "1GiB",
    "stored_bytes": "0",
    "free_disk_bytes": "64M",
    "queue_limit": "-1",
    "log_bytes": "1",
    "log_seconds": "an hour",
    "log_format": "LOGFMT",
    "log_level": "loud",
}
ANYTHING_GOES = {"data_dir", "config"}  # any text is a path; whether it can be written shows at start


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.field)
def test_each_setting_refuses_what_it_is_not(row: Row) -> None:
    """No setting takes a value that it cannot mean."""
    if row.field in ANYTHING_GOES:
        return
    [line] = refusal(**{row.env.removeprefix("TAILRACE_"): WRONG[row.field]})
    assert line.startswith(row.env)
    assert line.endswith(f"expected {row.expects}")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.field)
def test_no_setting_takes_bytes_that_are_not_utf_8(row: Row) -> None:
    """But for paths, which may have any."""
    value = os.fsdecode(b"a\xff")
    if row.field in ANYTHING_GOES:
        assert getattr(load({row.env: value}), row.field) == Path(value)
        return
    [line] = refusal(**{row.env.removeprefix("TAILRACE_"): value})
    assert line.startswith(row.env)
    assert line.endswith(f"expected {row.expects}")
    assert line.isprintable()


@pytest.mark.parametrize(
    ("name", "value"),
    [("ACCESS_TOKEN", "s3cret"), ("OPENAI_API_KEY", "sk two"), ("OPENAI_URL", "http://me:s3cret@models:8 0")],
)
def test_a_refusal_never_shows_a_secret(name: str, value: str) -> None:
    """Messages end up in logs and bug reports."""
    [line] = refusal(**{name: value})
    assert value not in line
    assert "(value hidden)" in line


def test_the_repr_hides_secrets() -> None:
    """Settings that are printed by accident give nothing away."""
    shown = repr(Settings(access_token="plum-9f3c71d2a8e4b605", openai_api_key="sk-1", port=1))
    assert shown == "Settings(port=1, access_token=***, openai_api_key=***)"


@pytest.mark.parametrize(
    "token",
    [
        "passwordpassword",
        "1234567890123456789",
        "0123456789abcdef",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "abababababababababab",
        "changeme-changeme!",
        "tailrace-access-token",
        "aaaabbbbccccddddeeee",
        "qwertyuiopasdfghjkl",
        "correct-horse-battery-staple",
        "iloveyou12345678",
        "summer2024summer!",
        "MyDogSpot2024!!!!",
        "1q2w3e4r5t6y7u8i",
        "qazwsxedcrfvtgby",
        "!QAZ@WSX3edc4rfv",
        "qwertzuiopasdfghj",
        "theQuickBrownFox1",
        "thisisaverylongtoken",
        "tailrace-2026-prod",
        "2026-11-29-12-00",
        "29.11.2026-1200-29",
        "trustno1trustno1x",
        "P4ssw0rd!sunsh1ne",
        "michael1987jordan",
        "john.smith@example.org",
        "CHANGE_ME_CHANGE_ME",
        "Sommer2024Sommer2025",
        "12345678-1234-1234-1234-123456789012",
        "1234:5678:9012:3456",
        "abcd-efgh-ijkl-mnop",
        "plum9-plum9-plum9-plum8",
        "replace-me-with-a-random-token",
        "--------------------",
    ],
)
def test_a_token_that_is_easy_to_guess_is_refused(token: str) -> None:
    """Though it is long enough: words, names, dates, walks over the keyboard, sequences, repetitions."""
    [line] = refusal(ACCESS_TOKEN=token)
    assert "easy to guess" in line
    assert "openssl rand" in line
    assert token not in line


WORDS = ("abacus", "bagpipe", "dandruff", "eggplant", "jawbreaker", "ladybug", "plywood", "unwired", "yodel")


def grouped(text: str, length: int) -> str:
    """The text in groups, as it is easier to read."""
    return "-".join(text[begin : begin + length] for begin in range(0, len(text), length))


@pytest.mark.slow
def test_a_random_token_is_never_refused() -> None:
    """However it was made."""
    for _ in range(200):
        for token in (
            secrets.token_hex(16),
            secrets.token_hex(16).upper(),
            grouped(secrets.token_hex(16), 4),
            str(uuid.uuid4()),
            secrets.token_urlsafe(16),
            secrets.token_urlsafe(12),
            base64.b64encode(secrets.token_bytes(12)).decode(),
            base64.b32encode(secrets.token_bytes(15)).decode(),
            " ".join(SystemRandom().sample(WORDS, 5)),
        ):
            assert not is_weak(token), token


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "chat.example.org"])
def test_other_machines_are_let_in_only_with_a_token(host: str) -> None:
    """Anything but loopback is refused without a token, and accepted with one."""
    [line] = refusal(HOST=host)
    assert "TAILRACE_ACCESS_TOKEN" in line
    assert load({"TAILRACE_HOST": host, "TAILRACE_ACCESS_TOKEN": "plum-9f3c71d2a8e4b605"}).host == host


def test_who_is_let_in_by_default() -> None:
    """Everybody at this machine; with an access token, whoever has it."""
    token = {"TAILRACE_ACCESS_TOKEN": "plum-9f3c71d2a8e4b605"}
    proxy = {"TAILRACE_AUTH": "proxy", "TAILRACE_TRUSTED_PROXIES": "127.0.0.1"}
    for environ, mode in (
        ({}, "local"),
        (token, "tokens"),
        ({"TAILRACE_AUTH": "tokens"}, "tokens"),
        (proxy, "proxy"),
    ):
        assert load(environ).mode == mode
    for auth in ("tokens", "proxy"):
        environ = {"TAILRACE_HOST": "0.0.0.0", "TAILRACE_TRUSTED_PROXIES": "127.0.0.1", "TAILRACE_AUTH": auth}
        assert load(environ).mode == auth


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"AUTH": "local", "ACCESS_TOKEN": "plum-9f3c71d2a8e4b605"}, "TAILRACE_ACCESS_TOKEN"),
        ({"AUTH": "proxy", "ACCESS_TOKEN": "plum-9f3c71d2a8e4b605"}, "TAILRACE_ACCESS_TOKEN"),
        ({"AUTH": "proxy"}, "TAILRACE_TRUSTED_PROXIES"),
        ({"AUTH": "local", "HOST": "0.0.0.0"}, "TAILRACE_ACCESS_TOKEN"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(environ: dict[str, str], named: str) -> None:
    """A token that protects nothing, a mode that lets nobody in, an open server for other machines."""
    [line] = refusal(**environ)
    assert named in line


@pytest.mark.parametrize("word", ["none", "off", "never", "null"])
def test_no_word_stands_for_a_token(word: str) -> None:
    """A token that reads like "none" must not open the server to everybody."""
    assert refusal(HOST="0.0.0.0", ACCESS_TOKEN=word)


def test_the_bind_rule_comes_with_the_other_problems() -> None:
    """An exposed address is told in the same message as wrong values."""
    assert len(refusal(HOST="0.0.0.0", PORT="x")) == 2


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    """Loopback is the name localhost and the two loopback ranges."""
    assert is_loopback(host) is loopback


def test_a_misspelt_name_is_found_with_its_neighbour() -> None:
    """A typing error in a name must not pass in silence."""
    found = unknown({"TAILRACE_PROT": "1", "TAILRACE_PORT": "1", "TAILRACE_XYZZY": "1", "HOME": "/"})
    assert found == {"TAILRACE_PROT": "TAILRACE_PORT", "TAILRACE_XYZZY": None}


def test_settings_cannot_be_changed() -> None:
    """What was checked at start stays so."""
    with pytest.raises(AttributeError):
        Settings().port = 1  # type: ignore[misc]


def test_every_default_is_valid() -> None:
    """Each default passes its own limits when it is written into the environment."""
    for row in TABLE:
        value = getattr(Settings(), row.field)
        if value not in (None, ()):
            raw = row.default if row.field != "data_dir" else str(value)
            assert row.parse(raw) == value, row.env


def test_the_bounds_of_the_core_are_settings() -> None:
    """All but those that nobody needs to change; what is set reaches the core."""
    inner = {
        "shutdown_timeout",
        "close_timeout",
        "answer_timeout",
        "arrival_grace",
        "max_answer_tokens",
        "log_tokens",
        "owner_resting_bytes",
        "resting_bytes",
    }
    assert set(Bounds.__struct_fields__) - set(Settings.__struct_fields__) == inner
    changed: dict[str, Any] = dict.fromkeys(set(Bounds.__struct_fields__) - inner, 2048)
    found = bounds(Settings(**changed, log_level="debug"))
    assert {name: getattr(found, name) for name in changed} == changed
    assert found.log_tokens
