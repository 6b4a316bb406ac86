"""The files of a cluster: three nodes that reach each other, engines that lose nothing, one address in front."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config.settings import Settings, load
from tests.deploy.proxies import cluster_nginx
from tests.machine import need
from tests.support.ports import free_port

ROOT = Path(__file__).parent.parent.parent
COMPOSE = (ROOT / "deploy/compose.cluster.yaml").read_text(encoding="utf-8")
NGINX = (ROOT / "deploy/nginx.cluster.conf").read_text(encoding="utf-8")
NAMED = (ROOT / "deploy/nginx.nodes.conf").read_text(encoding="utf-8")
KUBERNETES = (ROOT / "deploy/kubernetes.yaml").read_text(encoding="utf-8")
BOUND = 60  # s, for one step
TOKEN = "plum-9f3c71d2a8e4b605"
NODES = ("tailrace-1", "tailrace-2", "tailrace-3")


@pytest.fixture
def compose() -> dict[str, Any]:
    """Return the compose file's contents, with its anchors resolved."""
    contents: dict[str, Any] = yaml.safe_load(COMPOSE)
    return contents


@pytest.fixture
def manifest() -> dict[str, Any]:
    """Return the Kubernetes objects by kind."""
    return {found["kind"]: found for found in yaml.safe_load_all(KUBERNETES)}


def filled(given: dict[str, str]) -> dict[str, str]:
    """Fill in what compose would, and nothing for a variable with a default."""
    return {name: re.sub(r"\$\{\w+:([?-]).*?\}", "", value) for name, value in given.items()}


# ---- compose -------------------------------------------------------------------------------------------------


def test_compose_accepts_the_file(tmp_path: Path) -> None:
    """Compose itself reads it, with every variable filled in; older releases do not know `name`."""
    path = tmp_path / "compose.yaml"
    path.write_text(re.sub(r"^name: .*\n", "", COMPOSE, flags=re.MULTILINE), encoding="utf-8")
    env = {**os.environ, "TAILRACE_ACCESS_TOKEN": TOKEN, "POSTGRES_PASSWORD": "a-password"}
    command = [need("docker-compose"), "--file", str(path), "config", "--quiet"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=BOUND, check=False)
    assert done.returncode == 0, done.stderr
    for missing in ("TAILRACE_ACCESS_TOKEN", "POSTGRES_PASSWORD"):
        without = {name: value for name, value in env.items() if name != missing}
        done = subprocess.run(
            command, env=without, capture_output=True, text=True, timeout=BOUND, check=False
        )
        assert done.returncode != 0
        assert "set it to a random secret" in done.stderr


@pytest.mark.parametrize("name", NODES)
def test_the_settings_of_a_node_are_accepted(compose: dict[str, Any], name: str) -> None:
    """Each reaches the same engines by their names, and is reached by its own."""
    service = compose["services"][name]
    settings = load(
        {**filled(service["environment"]), "TAILRACE_ACCESS_TOKEN": TOKEN, "TAILRACE_HOST": "0.0.0.0"}
    )
    assert settings.node_url == f"http://{name}:8080"
    assert settings.database_url is not None
    assert "@postgres/" in settings.database_url
    assert settings.redis_url == "redis://valkey:6379/0"
    assert {"postgres", "valkey"} == set(service["depends_on"]) < set(compose["services"])
    assert service["build"]["args"]["EXTRA"] == "hiredis redis"


def test_compose_publishes_the_one_address_on_loopback_only(compose: dict[str, Any]) -> None:
    """The nodes and engines are not published; the engines' network leads nowhere else."""
    published = {
        name: service["ports"] for name, service in compose["services"].items() if "ports" in service
    }
    assert published == {"nginx": ["127.0.0.1:8080:8080"]}
    assert compose["networks"]["engines"]["internal"] is True
    for engine in ("postgres", "valkey"):
        assert compose["services"][engine]["networks"] == ["engines"]


def test_compose_trusts_its_proxy_and_nobody_else(compose: dict[str, Any]) -> None:
    """The address of nginx is fixed for that, and nginx believes the host's proxy."""
    [network] = compose["networks"]["front"]["ipam"]["config"]
    address = compose["services"]["nginx"]["networks"]["front"]["ipv4_address"]
    for name in NODES:
        assert compose["services"][name]["environment"]["TAILRACE_TRUSTED_PROXIES"] == address
    assert f"set_real_ip_from {network['gateway']};" in NGINX


def test_valkey_never_evicts(compose: dict[str, Any]) -> None:
    """An evicted log is a lost one; it is kept on disk, and has room there."""
    words = compose["services"]["valkey"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--maxmemory-policy"] == "noeviction"
    assert (options["--appendonly"], options["--appendfsync"]) == ("yes", "everysec")


def test_compose_bounds_each_service(compose: dict[str, Any]) -> None:
    """Memory, processes and logs; no capability that is not needed; no new privileges; a release, never `latest`."""
    for service in compose["services"].values():
        assert {"mem_limit", "pids_limit", "logging", "restart"} <= set(service)
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "build" in service or re.match(
            r"docker\.io/\S+:\d+\.\d+(\.\d+)?(@sha256:[0-9a-f]{64})?$", service["image"]
        )
        assert "build" in service or "healthcheck" in service


# ---- nginx ---------------------------------------------------------------------------------------------------


def test_nginx_accepts_the_file(tmp_path: Path) -> None:
    """And starts with it."""
    with cluster_nginx(tmp_path, [free_port() for _ in NODES]) as url:
        assert url.startswith("http://127.0.0.1:")


def test_nginx_knows_the_nodes(compose: dict[str, Any]) -> None:
    """By the names of their services, which it looks up again: a node may come back at another address."""
    assert re.findall(r"^ +server (\S+):8080 resolve ", NAMED, re.MULTILINE) == 2 * list(NODES)
    assert "resolver 127.0.0.11 " in NAMED
    service = compose["services"]["nginx"]
    assert set(service["depends_on"]) == set(NODES)
    assert {volume.split(":")[0] for volume in service["volumes"]} == {
        "./nginx.cluster.conf",
        "./nginx.nodes.conf",
    }
    major, minor, patch = map(int, service["image"].rpartition(":")[2].split("."))
    assert (major, minor, patch) >= (1, 27, 3)


def test_nginx_takes_no_answer_for_a_failure() -> None:
    """It leaves a node alone after an answer for which it asks the next one; while Redis is away that is all nodes."""
    groups = dict(re.findall(r"^upstream (\w+) \{(.*?)^\}", NAMED, re.MULTILINE | re.DOTALL))
    repeated = re.findall(r"proxy_next_upstream ([^;]+);\s+proxy_pass http://(\w+);", NGINX)
    assert {group for group, lines in groups.items() if lines.count("max_fails=0") == len(NODES)} == {
        group for statuses, group in repeated if "http_" in statuses
    }
    assert re.findall(r"^    proxy_next_upstream ([^;]+);", NGINX, re.MULTILINE) == ["error timeout"]


def test_nginx_outwaits_three_heartbeats(compose: dict[str, Any]) -> None:
    """It gives up no viewer of a living node, and a silent node soon."""
    found = re.search(r"proxy_read_timeout (\d+)s;", NGINX)
    assert found
    for name in NODES:
        assert int(found[1]) == 3 * int(compose["services"][name]["environment"]["TAILRACE_HEARTBEAT"])


def test_only_prompts_are_repeated_and_they_have_a_key() -> None:
    """A POST that is sent twice must be one prompt; other POSTs are sent once."""
    blocks = re.findall(r"^    location ([^{]+)\{([^}]*)\}", NGINX, re.MULTILINE)
    repeating = [(path.strip(), body) for path, body in blocks if "non_idempotent" in body]
    assert [path for path, _ in repeating] == ["~ ^/api/sessions/[^/]+/streams$"]
    assert "proxy_set_header Idempotency-Key $tailrace_key;" in repeating[0][1]
    shared = re.findall(r"^    proxy_set_header (.+);", NGINX, re.MULTILINE)
    assert shared
    assert all(f"proxy_set_header {header};" in repeating[0][1] for header in shared)


# ---- Kubernetes ----------------------------------------------------------------------------------------------


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the one container."""
    [found] = manifest["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_the_manifest_is_three_named_objects(manifest: dict[str, Any]) -> None:
    """Each in the version of its group that has been stable for years."""
    versions = {kind: found["apiVersion"] for kind, found in manifest.items()}
    assert versions == {"Deployment": "apps/v1", "Service": "v1", "PodDisruptionBudget": "policy/v1"}
    assert {found["metadata"]["name"] for found in manifest.values()} == {"tailrace"}
    assert manifest["Deployment"]["spec"]["replicas"] == 3
    [port] = manifest["Service"]["spec"]["ports"]
    assert port["targetPort"] in {exposed["name"] for exposed in container(manifest)["ports"]}


def test_all_selectors_mean_the_nodes(manifest: dict[str, Any]) -> None:
    """A misspelt label would select nothing."""
    labels = manifest["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert manifest["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert manifest["Service"]["spec"]["selector"] == labels
    assert manifest["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels


def test_the_settings_of_the_manifest_are_accepted(manifest: dict[str, Any]) -> None:
    """With the secrets filled in; a node is reached by its own address."""
    secrets = {
        "access-token": TOKEN,
        "database-url": "postgresql://db/tailrace",
        "redis-url": "redis://valkey",
        "openai-api-key": "",
    }
    given = {"TAILRACE_HOST": "0.0.0.0"}
    for variable in container(manifest)["env"]:
        source = variable.get("valueFrom", {})
        if "secretKeyRef" in source:
            given[variable["name"]] = secrets[source["secretKeyRef"]["key"]]
        elif "value" in variable:
            given[variable["name"]] = variable["value"].replace("$(POD_IP)", "10.0.0.7")
    settings = load(given)
    assert settings.node_url == "http://10.0.0.7:8080"
    assert settings.continue_ == "auto"


def test_a_node_gets_its_time_to_leave(manifest: dict[str, Any]) -> None:
    """First the endpoints hear of it, then running answers may end; only then it is killed."""
    pod = manifest["Deployment"]["spec"]["template"]["spec"]
    [_, pause] = container(manifest)["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] >= int(pause) + Settings().drain_timeout + 10
    rolling = manifest["Deployment"]["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 1, "maxUnavailable": 0}
    assert manifest["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_the_probes_ask_what_they_mean(manifest: dict[str, Any]) -> None:
    """A node whose engine is away is neither restarted nor left out: the others lack it, too."""
    paths = {
        name: container(manifest)[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "readiness", "liveness")
    }
    assert paths == {"startup": "/healthz", "readiness": "/servez", "liveness": "/healthz"}


def test_the_container_is_shut_in(manifest: dict[str, Any]) -> None:
    """No root, no capability, a read-only file system, bounded memory."""
    security = container(manifest)["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert manifest["Deployment"]["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
    assert "memory" in container(manifest)["resources"]["limits"]
