"""nginx and Caddy with the shipped files, unprivileged; those of a site have a self-signed certificate."""

from __future__ import annotations

import getpass
import os
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from tests.deploy.running import running
from tests.machine import need
from tests.support.ports import free_port
from tests.support.processes import ROOT

RELOAD = 30.0  # seconds
NAME = "chat.example.org"  # what the shipped files call the site
Changes = tuple[tuple[str, str], ...]  # texts of the shipped file, each with what stands in its place

# Around the site gzip is on for everything, as a distribution's own configuration may have it.
NGINX = """
daemon off;
user {user};
pid {prefix}/nginx.pid;
error_log {prefix}/error.log;
worker_processes 1;
worker_shutdown_timeout {patience};
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    gzip on;
    gzip_types *;
    include {prefix}/site.conf;
}}
"""
CADDY = """{{
	http_port {redirect}
	https_port {tls}
	default_bind 127.0.0.1
	admin localhost:{admin}
	grace_period {patience}
	skip_install_trust
"""


class Site(NamedTuple):
    """A proxy that runs."""

    tls: int  # port of the site
    redirect: int  # port for plain HTTP, which sends everybody to HTTPS
    plain: int  # port of the same site without TLS, nginx alone
    certificate: Path
    reload: Callable[[], None]

    @property
    def url(self) -> str:
        """The site's address."""
        return f"https://localhost:{self.tls}"

    @property
    def context(self) -> ssl.SSLContext:
        """A context that trusts the site's certificate."""
        return ssl.create_default_context(cafile=self.certificate)


Proxy = Callable[..., AbstractContextManager[Site]]


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for `localhost`; return it and its key."""
    made, key = folder / "certificate.pem", folder / "key.pem"
    command: list[str | Path] = [
        need("openssl"),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]
    names = "subjectAltName=DNS:localhost,DNS:chat.example.org,IP:127.0.0.1"
    options: list[str | Path] = [
        "-nodes",
        "-days",
        "30",
        "-subj",
        "/CN=localhost",
        "-addext",
        names,
        "-keyout",
        key,
        "-out",
        made,
    ]
    subprocess.run([*command, *options], check=True, capture_output=True, timeout=RELOAD)
    return made, key


def changed(file: str, changes: Changes) -> str:
    """Return a shipped file with changes. Each of them is found exactly once."""
    text = (ROOT / "deploy" / file).read_text(encoding="utf-8")
    for theirs, ours in changes:
        assert text.count(theirs) == 1, theirs
        text = text.replace(theirs, ours)
    return text


@contextmanager
def nginx(folder: Path, upstream: int, *, changes: Changes = (), patience: int = 60) -> Iterator[Site]:
    """Run nginx with the shipped site in front of a port. After a reload the old worker ends in `patience` seconds."""
    program = need("nginx")
    tls, redirect, plain = free_port(), free_port(), free_port()
    made, key = certificate(folder)
    site = changed("nginx.conf", (*changes, ("127.0.0.1:8080", f"127.0.0.1:{upstream}")))
    for pattern, ours in (
        (r"\n    listen \[::\].*", ""),
        (r"listen 80\b", f"listen 127.0.0.1:{redirect}"),
        (r"listen 443 ssl http2;", f"listen 127.0.0.1:{tls} ssl http2; listen 127.0.0.1:{plain};"),
        (r"listen 443\b", f"listen 127.0.0.1:{tls}"),
        (r"/etc/letsencrypt/live/\S+/fullchain.pem", str(made)),
        (r"/etc/letsencrypt/live/\S+/privkey.pem", str(key)),
        (rf"server_name {NAME}", "server_name localhost 127.0.0.1"),
    ):
        site, count = re.subn(pattern, ours, site)
        assert count, pattern
    (folder / "site.conf").write_text(site, encoding="utf-8")
    main = NGINX.format(prefix=folder, patience=f"{patience}s", user=getpass.getuser())
    (folder / "nginx.conf").write_text(main, encoding="utf-8")
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]

    def reload() -> None:
        subprocess.run([*command, "-s", "reload"], check=True, timeout=RELOAD, capture_output=True)

    with running(command, tls, redirect, plain, cwd=folder, env=os.environ):
        yield Site(tls, redirect, plain, made, reload)


@contextmanager
def cluster_nginx(folder: Path, nodes: Sequence[int], *, port: int | None = None) -> Iterator[str]:
    """Run nginx with the shipped site of a cluster in front of the ports of its nodes; yield its address."""
    program = need("nginx")
    port = port or free_port()
    site = changed("nginx.cluster.conf", (("listen 8080 ", f"listen 127.0.0.1:{port} "),))
    # Addresses in the place of names, which older releases of nginx resolve only once.
    named = changed("nginx.nodes.conf", (("resolver 127.0.0.11 valid=5s;\n", ""),))
    servers = cycle(nodes)
    named, count = re.subn(
        r"server tailrace-\d:8080 resolve ", lambda _: f"server 127.0.0.1:{next(servers)} ", named
    )
    assert count == 2 * len(nodes)
    (folder / "site.conf").write_text(site + named, encoding="utf-8")
    main = NGINX.format(prefix=folder, patience="5s", user=getpass.getuser())
    (folder / "nginx.conf").write_text(main, encoding="utf-8")
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    subprocess.run([*command, "-t", "-q"], check=True, timeout=RELOAD)
    with running(command, port, cwd=folder, env=os.environ):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def caddy(folder: Path, upstream: int, *, changes: Changes = (), patience: int = 60) -> Iterator[Site]:
    """Run Caddy with the shipped file in front of a port. After a reload old connections end in `patience` seconds."""
    program = need("caddy")
    tls, redirect, admin = free_port(), free_port(), free_port()
    made, key = certificate(folder)
    file = changed(
        "Caddyfile", (*changes, ("127.0.0.1:8080", f"127.0.0.1:{upstream}"), (f"\n{NAME} {{", "\nSITE {"))
    )
    file = file.replace("\nSITE {", f"\nhttps://localhost {{\n\ttls {made} {key}")
    file = file.replace(f"http://{NAME} {{", "http://localhost {")
    options = CADDY.format(redirect=redirect, tls=tls, admin=admin, patience=f"{patience}s")
    file = file.replace("\n{\n", f"\n{options}", 1)
    path = folder / "Caddyfile"
    path.write_text(file, encoding="utf-8")
    env = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    chosen = ["--config", str(path), "--adapter", "caddyfile"]

    def reload() -> None:
        command = [program, "reload", *chosen, "--force"]
        subprocess.run(command, check=True, timeout=RELOAD, capture_output=True, env=env)

    with running([program, "run", *chosen], tls, redirect, cwd=folder, env=env):
        yield Site(tls, redirect, 0, made, reload)


PROXIES: dict[str, Proxy] = {"nginx": nginx, "caddy": caddy}
