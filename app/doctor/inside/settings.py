"""Settings: are they valid, and do they keep strangers out?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from app.config import config_file, settings
from app.config.config_file import ConfigFile
from app.config.settings import Settings, SettingsError, is_loopback
from app.doctor.findings import Finding, note, ok, problem, warning

CHECK = "settings"


class Read(NamedTuple):
    """The settings as the server would read them; `None` if it would refuse them."""

    chosen: Settings | None
    findings: list[Finding]


def read(environ: Mapping[str, str]) -> Read:
    """Read the settings and check them."""
    path = config_file.find(environ, settings.data_dir(environ))
    file = config_file.read(path) if path is not None else None
    strays = list(_strays(environ))
    try:
        chosen = settings.load(environ, file)
    except SettingsError as error:
        mend = "Correct it: docs/operations.md has all settings. The server does not start until then."
        return Read(None, [problem(CHECK, line, mend) for line in str(error).splitlines()] + strays)
    source = f"the environment and {file.path}" if file is not None else "the environment"
    findings = [ok(CHECK, f"valid, from {source}"), *strays, *_exposed(chosen)]
    return Read(chosen, [*findings, *_readable(file)])


def _strays(environ: Mapping[str, str]) -> Iterator[Finding]:
    for name, meant in settings.unknown(environ).items():
        mend = f"Rename it to {meant}, or remove it." if meant else "Remove it."
        yield warning(CHECK, f"{name} is set, but there is no such setting", mend)


def _readable(file: ConfigFile | None) -> Iterator[Finding]:
    if file is not None and settings.exposes_secret(file):
        yield problem(
            CHECK, f"{file.path} contains a secret, and every user can read it", f"chmod 600 {file.path}"
        )


def _exposed(chosen: Settings) -> Iterator[Finding]:
    """Behind a proxy every visitor comes from loopback, so loopback alone protects nothing."""
    names = ", ".join(chosen.allowed_hosts)
    if chosen.mode == "local" and names:
        yield problem(
            CHECK,
            f"the server answers to {names} and asks nobody for a token",
            "Set TAILRACE_AUTH=tokens and make a token for each person (`tailrace token add NAME`): whoever reaches "
            "the proxy can read and change all chats.",
        )
    if names and not chosen.trusted_proxies:
        yield warning(
            CHECK,
            "TAILRACE_TRUSTED_PROXIES is not set, so behind a proxy all visitors count as one",
            "Set it to the proxy's address, TAILRACE_TRUSTED_PROXIES=127.0.0.1 if it runs on this machine.",
        )
    if not is_loopback(chosen.host) and not chosen.allowed_hosts:
        yield note(
            CHECK,
            f"the server listens on {chosen.host}, but TAILRACE_ALLOWED_HOSTS is not set",
            "Browsers on other machines get 421 until TAILRACE_ALLOWED_HOSTS lists the name that they use.",
        )
    if not is_loopback(chosen.host):
        yield warning(
            CHECK,
            f"the server listens on {chosen.host} without TLS",
            "Put nginx or Caddy in front (docs/deploy.md): tokens and chats are readable on the way.",
        )
