"""The command line: `tailrace serve`, `token`, `audit` and `doctor`, also as `python -m app …`."""

from __future__ import annotations

import argparse
import gc
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from app import __version__, watchdog
from app.config import config_file, settings
from app.config.credentials import with_credentials
from app.doctor import command
from app.telemetry import audit

MOST_DAYS = 3650
WRONG_USE = 2  # argparse's exit code for a wrong argument; nothing was started


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. `argv` does not include the program name; `None` means `sys.argv`."""
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    return run(arguments)


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
    _add_token_commands(commands)
    check = commands.add_parser(
        "audit",
        help="check log files",
        description="Check log lines (logfmt or JSON) against the invariants of every session. "
        "Several files are the logs of the nodes of a cluster, and are read as one. The exit code is 1 if any was "
        "violated, and 2 if no line is one of Tailrace's log.",
    )
    check.add_argument("files", metavar="FILE", nargs="+", help="log file, or - for standard input")
    check.add_argument("--bound", type=_bound, default=2.0, help="the server's TAILRACE_SUPERSEDE_TIMEOUT")
    check.add_argument("--owner", metavar="NAME", help="check only the lines about this owner")
    check.set_defaults(run=_audit)
    doctor = commands.add_parser(
        "doctor",
        help="find what is wrong with an installation",
        description="Check the settings and the machine of a server, or with --url a running server from outside. "
        "Each finding comes with its remedy. The exit code is 1 if there is a problem.",
    )
    command.add_arguments(doctor)
    doctor.set_defaults(run=command.run)
    return parser


def _add_token_commands(commands: Any) -> None:
    parser = commands.add_parser(
        "token",
        help="manage access tokens",
        description="Manage named access tokens (TAILRACE_AUTH=tokens). A running server takes note within a second.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="action")
    add = actions.add_parser(
        "add",
        help="make a token and print it",
        description="Make a token and print it, once. A token of the same name is replaced and no longer works.",
    )
    add.add_argument("name", metavar="NAME", help="whom it lets in: the owner of the chats")
    add.add_argument("--admin", action="store_true", help="may see /ops and /metrics")
    add.add_argument("--days", type=_days, metavar="N", help="expires after N days; never without this")
    add.set_defaults(run=_token)
    show = actions.add_parser(
        "list", help="list the tokens", description="List the tokens, without their secrets."
    )
    show.set_defaults(run=_token)
    revoke = actions.add_parser(
        "revoke",
        help="revoke a token",
        description="Revoke a token: it no longer works, and its open responses end. Its owner's chats stay.",
    )
    revoke.add_argument("name", metavar="NAME")
    revoke.set_defaults(run=_token)


def _days(text: str) -> int:
    days = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= days <= MOST_DAYS:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {MOST_DAYS}")
    return days


def _bound(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError("expected a number of seconds above 0")
    return seconds


def _token(arguments: argparse.Namespace) -> int:
    try:
        environ = with_credentials(os.environ)
        path = config_file.find(environ, settings.data_dir(environ))
        chosen = settings.load(environ, config_file.read(path) if path is not None else None)
    except settings.SettingsError as error:
        return _refuse(f"invalid settings:\n{error}")
    from app import token_commands
    from app.telemetry import logging

    logging.configure(chosen.log_format, "warning")  # on standard error
    try:
        match arguments.action:
            case "add":
                wanted = token_commands.Added(arguments.name, arguments.admin, arguments.days)
                return token_commands.add(chosen, wanted)
            case "list":
                return token_commands.show(chosen)
            case _:
                return token_commands.revoke(chosen, arguments.name)
    except token_commands.TokenCommandError as error:
        return _refuse(str(error))


def _environment(arguments: argparse.Namespace) -> Mapping[str, str]:
    """Return the environment overridden by the options, so that both are validated in one place.

    Raises `SettingsError` if a credential cannot be read.
    """
    given = {"HOST": arguments.host, "PORT": arguments.port}
    return {
        **with_credentials(os.environ),
        **{settings.PREFIX + name: value for name, value in given.items() if value is not None},
    }


def _log(name: str) -> TextIO:
    # Tolerate invalid UTF-8: the rest of the log can still be audited.
    if name == "-":
        return open(sys.stdin.fileno(), errors="replace", closefd=False)
    return Path(name).open(errors="replace")


def _audit(arguments: argparse.Namespace) -> int:
    try:
        with ExitStack() as stack:
            logs = {name: stack.enter_context(_log(name)) for name in dict.fromkeys(arguments.files)}
            if len(logs) == 1:
                [lines] = logs.values()
                report = audit.audit(lines, bound=arguments.bound, owner=arguments.owner)
            else:
                report = audit.audit_nodes(logs, bound=arguments.bound, owner=arguments.owner)
    except OSError as error:
        return _refuse(f"cannot read {error.filename or 'the log'}: {error.strerror}")
    if not report.ours:
        names = ", ".join("standard input" if name == "-" else name for name in logs)
        return _refuse(f"there is nothing to judge: no line of {names} is one of Tailrace's log")
    for violation in report.violations:
        print(violation)
    for exception in report.exceptions:
        print(f"exception: {exception}")
    print(report)
    return 1 if report.violations else 0


def _serve(arguments: argparse.Namespace) -> int:
    try:
        environ = _environment(arguments)
        path = config_file.find(environ, settings.data_dir(environ))
        file = config_file.read(path) if path is not None else None
        chosen = settings.load(environ, file)
    except settings.SettingsError as error:
        return _refuse(f"cannot start: invalid settings:\n{error}")

    # Fork before the server is imported, so that the watchdog's memory stays small.
    dog = watchdog.Watchdog.start(chosen.drain_timeout, lambda stack: _tell_killed(chosen, stack))

    # What is loaded from here on lives as long as the process. The server turns collection on once it is ready.
    gc.disable()
    # Import late, so that a wrong setting or `--help` does not load the server.
    from app import allocator
    from app.telemetry import logging
    from app.wiring.errors import StartupError
    from app.wiring.serving import serve

    allocator.return_large_blocks()
    log = logging.configure(chosen.log_format, chosen.log_level)
    if file is not None:
        log.info("config_read", path=str(file.path.resolve()), servers=len(chosen.servers))
        if settings.exposes_secret(file):
            advice = f"chmod 600 {file.path}"
            log.warning("config_readable_by_all", path=str(file.path), advice=advice)
    for name, meant in settings.unknown(environ).items():
        log.warning("setting_unknown", name=name, did_you_mean=meant)
    try:
        return serve(chosen, dog)
    except StartupError as error:
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
