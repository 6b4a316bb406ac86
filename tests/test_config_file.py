"""The configuration file: what it may hold, what wins over it, and how a mistake in it is told."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from app.config.config_file import ConfigFile, find, read
from app.config.servers import ModelServer
from app.config.settings import TABLE, Settings, SettingsError, exposes_secret, load
from app.config.toml_lines import Lines

WHOLE = """
    # Where it listens
    port = 9000
    embedded = false
    viewer_grace = "never"
    supersede_timeout = 1
    allowed_hosts = [
        "chat.example.org",
        "chat.local",
    ]
    default_model = "gpu/my own model"

    [servers.gpu]
    url = "http://gpu.local:8000"
    models = ["my own model", "org/ünï:1"]
    context = 32768

    [servers.azure]
    url = "https://x.openai.azure.com/openai/deployments/gpt/chat/completions?api-version=2024-06-01"
    headers = { "api-key" = { env = "AZURE_KEY" }, "X-Team" = "blue" }

    [servers."big.box"]
    api = "ollama"
    url = "http://user:password@[fd00::1]:11434/"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path, text: str) -> ConfigFile:
    """Read a file with this text."""
    path = folder / "tailrace.toml"
    path.write_text(dedent(text), encoding="utf-8")
    return read(path)


def refusal(folder: Path, text: str, **environ: str) -> list[str]:
    """Return the lines of the message that a file is refused with."""
    with pytest.raises(SettingsError) as caught:
        load(environ, written(folder, text))
    return str(caught.value).splitlines()


def test_any_setting_and_several_servers(folder: Path) -> None:
    """Values come as TOML has them, or as text; keys may be named by the variable that holds them."""
    chosen = load({"AZURE_KEY": "secret-1"}, written(folder, WHOLE))
    assert (chosen.port, chosen.embedded, chosen.viewer_grace) == (9000, False, None)
    assert chosen.supersede_timeout == 1.0
    assert [str(host) for host in chosen.allowed_hosts] == ["chat.example.org", "chat.local"]
    assert chosen.default_model == "gpu/my own model"
    gpu, azure, big = chosen.servers
    assert gpu == ModelServer(
        name="gpu",
        url="http://gpu.local:8000",
        models=("my own model", "org/ünï:1"),
        context=32768,
    )
    assert azure.headers == {"api-key": "secret-1", "X-Team": "blue"}
    assert (big.name, big.api) == ("big.box", "ollama")
    assert "secret-1" not in repr(chosen)
    assert "password" not in repr(chosen)


def test_an_array_of_servers(folder: Path) -> None:
    """The other way in which TOML writes several tables."""
    text = """
        [[servers]]
        name = "a"
        url = "http://a"
        key_env = "KEY_A"
        [[servers]]
        name = "b"
        url = "http://b"
        key = "sk-b"
    """
    chosen = load({"KEY_A": "sk-a"}, written(folder, text))
    assert [(server.name, server.key) for server in chosen.servers] == [("a", "sk-a"), ("b", "sk-b")]


def test_the_environment_wins(folder: Path) -> None:
    """An empty variable counts as unset, as it does without a file."""
    file = written(folder, "port = 9000\nhost = '::1'\nlog_level = 'debug'\n")
    chosen = load({"TAILRACE_PORT": "9001", "TAILRACE_HOST": ""}, file)
    assert (chosen.port, chosen.host, chosen.log_level) == (9001, "::1", "debug")


def test_every_setting_may_stand_in_the_file(folder: Path) -> None:
    """By its name, with its default as the value."""
    for row in TABLE:
        if row.field != "config" and row.default not in ("none", "the platform's data folder"):
            file = written(folder, f'{row.key} = "{row.default}"')
            assert load({}, file) == Settings(), row.key


def test_all_mistakes_are_told_together_each_with_its_line(folder: Path) -> None:
    """Of settings, servers and the environment; with a mend where one can be guessed, and without a secret."""
    text = """\
        prot = 1
        port = true
        log_level = "loud"
        access_token = "s3cret"
        [servers.gpu]
        url = "gpu.local:8000"
        kei = "x"
        [servers.gpu2]
        url = "http://me:s3cret@gpu 2/"
        key = "s3cret s3cret"
        [servers.ollama]
        url = "http://a"
        [servers.c]
        [servers.d]
        url = "http://d"
        key_env = "MISSING"
        headers = { "Host" = "a", "a b" = "c", "x" = 1 }
        models = "a"
        context = 12
        api = "soap"
        [servers."e/f"]
        url = "http://e"
        [servers.GPU]
        url = "http://g"
        [servers.port]
        url = "http://gpu:99999"
        [servers.six]
        url = "http://fd00::1:8000"
    """
    lines = refusal(folder, text, TAILRACE_QUEUE_LIMIT="none")
    assert all("s3cret" not in line for line in lines)
    for expected in (
        "line 1: prot: there is no such setting. Did you mean port?",
        "line 2: port='True': expected a port number, 0 to 65535",
        "line 3: log_level='loud': expected one of debug, info, warning, error",
        "line 4: access_token (value hidden): expected at least 16 visible ASCII characters",
        "line 6: url: 'gpu.local:8000': expected an http:// or https:// URL",
        "line 7: kei: there is no such setting. Did you mean key?",
        "line 9: url: (value hidden): expected an http:// or https:// URL",
        "line 10: key (value hidden): expected visible ASCII characters",
        "line 11: name: 'ollama' is taken.",
        'line 13: url: it is missing. Add url = "http://…"',
        "line 16: key_env: the variable MISSING is not set",
        "line 17: headers: 'Host' is set by Tailrace. Leave it out",
        "line 17: headers: 'a b' is not a name of a header",
        'line 17: headers.x: expected text, or { env = "NAME" }',
        'line 18: models: expected a list of names, as models = ["a", "b"]',
        "line 19: context: expected a whole number of tokens, at least 256",
        'line 20: api: expected one of "openai", "ollama"',
        "line 21: name: 'e/f': expected up to 32 letters",
        "line 23: name: 'GPU' is taken by another server. Choose another name",
        "line 26: url: 'http://gpu:99999': expected an http:// or https:// URL",
        "line 28: url: 'http://fd00::1:8000': expected an http:// or https:// URL",
    ):
        assert any(line.startswith(f"tailrace.toml, {expected}") for line in lines), expected
    assert any(line.startswith("TAILRACE_QUEUE_LIMIT=") for line in lines)
    assert len(lines) == 22


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("port = 1\nhost = localhost\n", "line 2: Invalid value. Text needs quotes"),
        ("port = 1\nport = 2\n", "line 2: Cannot overwrite a value. Each key may stand there once."),
        ("port 1\n", "line 1: Expected '=' after a key in a key/value pair. A setting is written as"),
        ("port = 1\nhosts = [\n'a',\n", "line 3: "),
        ("a = " + "[" * 5000 + "]" * 5000, "tailrace.toml: its values are nested too deeply"),
        ("servers = 3\n", "line 1: servers: expected tables"),
        ("[servers]\ngpu = 'http://a'\n", "line 2: servers: 'gpu' is not a table"),
        (
            "[server.gpu]\nurl = 'http://a'\n",
            "line 1: server: there is no such setting. Did you mean servers?",
        ),
        ("config = 'other.toml'\n", "line 1: config: there is no such setting"),
        ("TAILRACE_PORT = 1\n", "line 1: TAILRACE_PORT: there is no such setting. Did you mean port?"),
        ("data_dir = 5\n", "line 1: data_dir='5': expected a folder path"),
        ("openai_url = 'http://a'\n[servers.openai]\nurl = 'http://b'\n", "line 2: name: 'openai' is taken"),
        (
            "[servers.gpu]\nurl = 'http://a'\nmodels = ['a', \"b\\u0000\"]\n",
            r"line 3: models: 'b\x00' has characters that cannot be shown",
        ),
        ('default_model = "gpu/\\u202Ea"\n', "expected a model as backend/name"),
    ],
)
def test_a_mistake_names_its_line(folder: Path, text: str, expected: str) -> None:
    """Whether the file cannot be parsed or a value makes no sense."""
    [line] = refusal(folder, text)
    assert expected in line


def test_other_encodings(folder: Path) -> None:
    """A byte order mark is no mistake; what is not UTF-8 is told with its line."""
    path = folder / "tailrace.toml"
    path.write_bytes(b"\xef\xbb\xbfport = 9000\r\n")
    assert load({}, read(path)).port == 9000
    path.write_bytes(b"port = 1\n# caf\xe9\n")
    with pytest.raises(SettingsError, match=r"tailrace\.toml, line 2: this is not UTF-8"):
        load({}, read(path))


def test_a_file_that_is_not_there(folder: Path) -> None:
    """It is told with the variable that names it."""
    path = find({"TAILRACE_CONFIG": str(folder / "none.toml")}, folder)
    assert path is not None
    with pytest.raises(SettingsError, match=r"TAILRACE_CONFIG=.*none\.toml.*No such file"):
        load({}, read(path))
    with pytest.raises(SettingsError, match=r"TAILRACE_CONFIG=.*directory"):
        load({}, read(folder))


def test_where_it_is_looked_for(folder: Path) -> None:
    """By name; else in the working directory, then in the data folder; `off` looks nowhere."""
    data = folder / "data"
    data.mkdir()
    assert find({}, data) is None
    (data / "tailrace.toml").touch()
    assert find({}, data) == data / "tailrace.toml"
    (folder / "tailrace.toml").touch()
    assert find({}, data) == Path("tailrace.toml")
    assert find({"TAILRACE_CONFIG": "other.toml"}, data) == Path("other.toml")
    assert find({"TAILRACE_CONFIG": "off"}, data) is None


def test_there_is_none_in_a_folder_that_cannot_be_looked_into(folder: Path) -> None:
    """Whether the server can use the folder shows when it opens it."""
    assert find({}, folder / ("a" * 300)) is None


@pytest.mark.parametrize(
    ("text", "exposed"),
    [
        ("port = 1\n[servers.a]\nurl = 'http://a'\nkey_env = 'A'\n", False),
        ("[servers.a]\nurl = 'http://a'\nkey = 'sk'\n", True),
        ("[servers.a]\nurl = 'http://u:p@a'\n", True),
        ("[servers.a]\nurl = 'http://a'\nheaders = {'api-key' = 'x'}\n", True),
        ("[servers.a]\nurl = 'http://a'\nheaders = {'api-key' = {env = 'A'}, team = 'b'}\n", False),
        ("access_token = 'plum-9f3c71d2a8e4b605'\n", True),
        ("database_url = 'memory:'\n", False),
    ],
)
def test_a_key_that_everybody_can_read(folder: Path, text: str, exposed: bool) -> None:
    """It is warned about; not if the file is private, or if it holds no key."""
    path = folder / "tailrace.toml"
    path.write_text(text)
    path.chmod(0o644)
    assert exposes_secret(read(path)) is exposed
    path.chmod(0o600)
    assert not exposes_secret(read(path))


def test_lines_of_nested_tables() -> None:
    """Dotted keys, tables in arrays, values of several lines, and text that looks like keys."""
    text = dedent(
        '''\
        a.b = 1
        text = """
        a.c = 2
        [not.a.table]
        """
        list = [
          { x = 1 },
        ] # end

        [[servers]]
        name = "one"
        [servers.headers]
        x = "1"
        [[servers]] # second
        "na me" = "two"
        '''
    )
    lines = Lines(text)
    assert [lines.of(("a", "b")), lines.of(("text",)), lines.of(("list",))] == [1, 2, 6]
    assert lines.of(("servers", 0, "name")) == 11
    assert lines.of(("servers", 0, "headers", "x")) == 13
    assert lines.of(("servers", 1)) == 14
    assert lines.of(("servers", 1, "na me")) == 15
    assert lines.of(("servers", 1, "missing")) == 14
