"""The command line: `tailrace serve` and `tailrace audit`, also as `python -m app …`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app import __version__, watchdog
from app.config import config_file, settings
from app.telemetry import audit

WRONG_USE = 2  # argparse's exit code for a wrong argument; nothing was started


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. `argv` does not include the program name; `None` means `sys.argv`."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.run
    return command(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tailrace", description="A streaming chat server for language models."
    )
    parser.add_argument("--version", action="version", version=f"tailrace {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    serve = commands.add_parser("serve", help="run the server", description="Run the server until Ctrl-C.")
    serve.add_argument("--host", help=f"same as {settings.PREFIX}HOST")
    serve.add_argument("--port", help=f"same as {settings.PREFIX}PORT")
    serve.set_defaults(run=_serve)
    check = commands.add_parser(
        "audit",
        help="check a log file",
        description="Check log lines (logfmt or JSON) against the invariants of every session. "
        "The exit code is 1 if any was violated.",
    )
    check.add_argument("file", metavar="FILE", help="log file, or - for standard input")
    check.add_argument("--bound", type=float, default=2.0, help="the server's TAILRACE_SUPERSEDE_TIMEOUT")
    check.set_defaults(run=_audit)
    return parser


def _environment(arguments: argparse.Namespace) -> Mapping[str, str]:
    """Return the environment overridden by the options, so that both are validated in one place."""
    given = {"HOST": arguments.host, "PORT": arguments.port}
    return {
        **os.environ,
        **{settings.PREFIX + name: value for name, value in given.items() if value is not None},
    }


def _audit(arguments: argparse.Namespace) -> int:
    try:
        # Tolerate invalid UTF-8: the rest of the log can still be audited.
        with sys.stdin if arguments.file == "-" else Path(arguments.file).open(errors="replace") as lines:
            report = audit.audit(lines, bound=arguments.bound)
    except OSError as error:
        return _refuse(f"cannot read {arguments.file}: {error.strerror}")
    for violation in report.violations:
        print(violation)
    print(report)
    return 1 if report.violations else 0


def _serve(arguments: argparse.Namespace) -> int:
    environ = _environment(arguments)
    path = config_file.find(environ, settings.data_dir(environ))
    file = config_file.read(path) if path is not None else None
    try:
        chosen = settings.load(environ, file)
    except settings.SettingsError as error:
        return _refuse(f"cannot start: invalid settings:\n{error}")

    # Fork before the server is imported, so that the watchdog's memory stays small.
    dog = watchdog.Watchdog.start(chosen.drain_timeout, lambda stack: _tell_killed(chosen, stack))

    # Import late, so that a wrong setting or `--help` does not load the server.
    from app import wiring
    from app.telemetry import logging

    log = logging.configure(chosen.log_format, chosen.log_level)
    if file is not None:
        log.info("config_read", path=str(file.path.resolve()), servers=len(chosen.servers))
        if settings.exposes_secret(file):
            advice = f"chmod 600 {file.path}"
            log.warning("config_readable_by_all", path=str(file.path), advice=advice)
    for name, meant in settings.unknown(environ).items():
        log.warning("setting_unknown", name=name, did_you_mean=meant)
    try:
        return wiring.serve(chosen, dog)
    except wiring.StartupError as error:
        return _refuse(f"cannot start: {error}")


def _tell_killed(chosen: settings.Settings, stack: str) -> None:
    """Log on behalf of the server that the watchdog killed it during shutdown, with the stack where it hung."""
    from app.telemetry import logging

    logging.configure(chosen.log_format, chosen.log_level).error("shutdown_killed", stack=stack)


def _refuse(message: str) -> int:
    print(f"tailrace: {message}", file=sys.stderr)
    return WRONG_USE


if __name__ == "__main__":
    sys.exit(main())
