"""The command line: what it prints and the code it exits with."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app import __version__
from app.__main__ import main
from tests.deploy.running import wait_for_port
from tests.support import processes
from tests.support.ports import free_port

pytestmark = pytest.mark.slow

BOUND = 30  # seconds


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return an environment with these settings, in capitals and unprefixed, and no model that loads."""
    ours = {"DATA_DIR": str(folder), "EMBEDDED": "0", "SCRIPTED": "1", "OLLAMA_URL": "off", **settings}
    return processes.environment(ours)


def refused(folder: Path, **settings: str) -> str:
    """Start the server where it cannot start; return its message."""
    done = subprocess.run(
        [sys.executable, "-m", "app", "serve"],
        cwd=processes.ROOT,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the one version there is."""
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert (left.value.code, capsys.readouterr().out) == (0, f"tailrace {__version__}\n")


def test_without_a_command_it_tells_how_to_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    """A missing command is wrong use: exit code 2, and the usage."""
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2
    assert "usage: tailrace" in capsys.readouterr().err


def test_options_go_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--port` replaces TAILRACE_PORT, and is checked by the same table."""
    monkeypatch.setenv("TAILRACE_PORT", "8080")
    assert main(["serve", "--port", "eighty"]) == 2
    assert "TAILRACE_PORT='eighty': expected a port number" in capsys.readouterr().err


def test_wrong_settings_end_in_one_message(tmp_path: Path) -> None:
    """All that is wrong, one a line under one heading; exit code 2; no traceback."""
    message = refused(tmp_path, HEARTBEAT="soon", HOST="0.0.0.0")
    assert message.splitlines()[0] == "tailrace: cannot start: invalid settings:"
    assert [line.split("=")[0] for line in message.splitlines()[1:]] == [
        "TAILRACE_HEARTBEAT",
        "TAILRACE_HOST",
    ]


def test_mistakes_of_the_configuration_file_end_in_one_message(tmp_path: Path) -> None:
    """Beside those of the environment, each with its line."""
    file = tmp_path / "tailrace.toml"
    file.write_text('prot = 1\n[servers.gpu]\nkey = "s3cret"\n')
    message = refused(tmp_path, CONFIG=str(file), HEARTBEAT="soon")
    first, *others = message.splitlines()
    assert first.startswith("tailrace: cannot start: ")
    assert others == [
        "TAILRACE_HEARTBEAT='soon': expected seconds above 0, up to 86400",
        "tailrace.toml, line 1: prot: there is no such setting. Did you mean port?",
        'tailrace.toml, line 2: url: it is missing. Add url = "http://…"',
    ]
    assert "s3cret" not in message


def test_a_port_in_use_ends_in_one_message(tmp_path: Path) -> None:
    """The message names the port; exit code 2; no traceback."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert port in refused(tmp_path, PORT=port)


def test_a_data_folder_that_cannot_be_written_ends_in_one_message(tmp_path: Path) -> None:
    """The message names the folder; exit code 2; no traceback. A file in the way stops root, too."""
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "data"
    assert str(folder) in refused(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM: exit code 0, the address on standard output, logs without traceback on standard error."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--port", str(port)],
        cwd=processes.ROOT,
        env=environment(tmp_path, PROT="misspelt"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            wait_for_port(port, server)
            server.send_signal(number)
            out, err = server.communicate(timeout=BOUND)
        finally:
            server.kill()
    assert server.returncode == 0
    assert f"http://127.0.0.1:{port}" in out
    assert "Traceback" not in err
    assert "warning setting_unknown name=TAILRACE_PROT did_you_mean=TAILRACE_PORT" in err


def test_audit_tells_what_is_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log without violations exits 0, one with them 1 and names each, a missing one 2."""
    log = tmp_path / "log"
    lines = [
        f"2026-01-01T00:00:00Z info {event} trace=a session=s" for event in ("stream_start", "stream_end")
    ]
    log.write_text("\n".join(lines) + "\n")
    assert main(["audit", str(log)]) == 0
    assert "1 streams in 1 sessions" in capsys.readouterr().out
    log.write_text(lines[0] + "\n")
    assert main(["audit", str(log)]) == 1
    assert "line 1: session=s trace=a: never ended" in capsys.readouterr().out
    away = "2026-01-01T00:00:00Z warning redis_lost address=127.0.0.1:6379"
    wait = "2026-01-01T00:00:06Z info prev_stream_finished_cleanly trace=a session=s waited_ms=6000"
    log.write_text("\n".join([lines[0], away, wait, lines[1].replace(":00Z", ":07Z")]) + "\n")
    assert main(["audit", str(log)]) == 0
    assert "exception: line 3: session=s trace=a: the next prompt waited 6000 ms" in capsys.readouterr().out
    assert main(["audit", str(tmp_path / "none")]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_audit_of_another_file_judges_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is violated in a file that is no log; that is not said of it. A quiet server's log is one."""
    log = tmp_path / "log"
    for other in (b"", bytes(range(256)) * 100, b"hello\n"):
        log.write_bytes(other)
        assert main(["audit", str(log)]) == 2
        told = capsys.readouterr()
        assert (told.out, "nothing to judge" in told.err) == ("", True)
    piped = subprocess.run(
        [sys.executable, "-m", "app", "audit", "-"],
        cwd=processes.ROOT,
        env={**environment(tmp_path), "PYTHONIOENCODING": "utf-8:strict"},  # as in most locales
        input=b"\xff" * 100,
        capture_output=True,
        timeout=BOUND,
        check=False,
    )
    assert piped.returncode == 2
    assert piped.stderr.startswith(b"tailrace: there is nothing to judge: no line of standard input is ")
    log.write_text("2026-01-01T00:00:00Z info config_read path=/etc/tailrace.toml\n")
    assert main(["audit", str(log)]) == 0


@pytest.mark.parametrize("bound", ["nan", "-1", "0", "1e400", "soon"])
def test_audit_takes_a_bound_above_0(bound: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With another one nothing could be judged."""
    with pytest.raises(SystemExit) as left:
        main(["audit", f"--bound={bound}", "-"])
    assert left.value.code == 2
    assert "expected a number of seconds above 0" in capsys.readouterr().err
