"""The container files match the code; checked without a container engine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import kubernetes_validate
import prefect.settings
import pytest
import yaml
from compose_spec import PyCompose
from fastapi.testclient import TestClient
from prefect.workers.base import BaseJobConfiguration
from pydantic import SecretStr
from typer.testing import CliRunner

from headrace.api.app import create_app
from headrace.catalog.settings import Settings, staging_root
from headrace.deployments.cli.app import app
from headrace.deployments.worker import fork_client, type

FOLDER = Path(__file__).parents[2] / "deployments"
FILES = [FOLDER / name for name in ("compose.yaml", "compose.env.example", "kubernetes/headrace.yaml")]
DOCKERFILE = FOLDER / "containers" / "Dockerfile"
COMPOSE = yaml.safe_load(FILES[0].read_text())
SERVICES = {name: each for name, each in COMPOSE["services"].items() if each["image"] == "headrace"}
MANIFESTS = list(yaml.safe_load_all(FILES[2].read_text()))
PODS = {
    each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in MANIFESTS if each["kind"] == "Deployment"
}
KNOWN = {f"HEADRACE_{name.upper()}" for name in Settings.model_fields}


def containers() -> Iterator[dict[str, Any]]:
    for pod in PODS.values():
        yield from [*pod.get("initContainers", []), *pod["containers"]]


def instructions(name: str) -> list[str]:
    """Those of the image that is left, after the last FROM."""
    text = DOCKERFILE.read_text().replace("\\\n", " ").rpartition("\nFROM ")[2]
    return [line.partition(" ")[2] for line in text.splitlines() if line.startswith(f"{name} ")]


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in instructions("ENV") for pair in line.split())


def secrets_of(container: dict[str, Any]) -> set[str]:
    """The keys of the secret that a container of a pod gets; the staging's are the operator's to choose."""
    whole = [each["secretRef"]["name"] for each in container.get("envFrom", []) if "secretRef" in each]
    assert whole in ([], ["headrace-staging"])
    given = [each["valueFrom"]["secretKeyRef"]["key"] for each in container.get("env", []) if "valueFrom" in each]
    return set(given)


def commands() -> set[str]:
    """Every command that a container is given, that the image has, and that the files document."""
    found = {str(each["command"]) for each in SERVICES.values()} | {" ".join(each["args"]) for each in containers()}
    found |= {" ".join(json.loads(instructions("CMD")[-1])), BaseJobConfiguration._base_flow_run_command()}
    return found.union(*(re.findall(r"headrace keys .+", file.read_text()) for file in FILES))


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_command_is_one_that_the_image_has(command: str) -> None:
    # A command is the whole one: what Prefect's workers give a container does not begin with `headrace`.
    assert json.loads(instructions("ENTRYPOINT")[-1]) == ["tini", "--"]
    program, *words = command.split()
    if program == "python":
        assert words[:2] == ["-P", "-m"]
        assert find_spec(words[2]) is not None
        return
    assert program in {each.name for each in entry_points(group="console_scripts")} | {"mkdir"}
    if program == "headrace":
        reported = CliRunner().invoke(app, [*words, "--help"])  # an option that there is not is refused all the same
        assert reported.exit_code == 0, reported.output


@pytest.mark.parametrize("file", [*FILES, DOCKERFILE], ids=lambda file: file.name)
def test_every_setting_is_known(file: Path) -> None:
    text = file.read_text()
    assert set(re.findall(r"\bHEADRACE_[A-Z_]+", text)) <= KNOWN
    unknown = [name for name in re.findall(r"\bPREFECT_[A-Z_]+", text) if not hasattr(prefect.settings, name)]
    assert unknown == []


def test_the_compose_file_is_one() -> None:
    PyCompose.from_yaml(yaml.safe_dump(COMPOSE))  # with its anchors resolved, which this parser does not know
    for name, service in COMPOSE["services"].items():
        for other, waits in service.get("depends_on", {}).items():
            reported = {"service_healthy": "healthcheck", "service_completed_successfully": "restart"}[
                waits["condition"]
            ]
            assert reported in COMPOSE["services"][other], f"{name} would wait for {other} for ever"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (FOLDER / source).exists()
    asked = set(re.findall(r"\$\{(\w+)", FILES[0].read_text()))
    assert asked == set(re.findall(r"^(\w+)=", FILES[1].read_text(), re.MULTILINE))


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: f"{each['kind']} {each['metadata']['name']}")
def test_the_manifests_are_what_kubernetes_knows(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_what_manifests_refer_to_is_there() -> None:
    named = {(each["kind"], each["metadata"]["name"]) for each in MANIFESTS}
    named |= {("Secret", "headrace"), ("Secret", "headrace-staging")}
    literals = set(re.findall(r"--from-literal=(\w+)=", FILES[2].read_text()))
    for pod in PODS.values():
        claims = {each["name"]: each.get("persistentVolumeClaim") for each in pod.get("volumes", [])}
        assert {("PersistentVolumeClaim", claim["claimName"]) for claim in claims.values() if claim} <= named
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= set(claims)
            for source in container.get("envFrom", []):
                kind = {"configMapRef": "ConfigMap", "secretRef": "Secret"}[next(iter(source))]
                assert (kind, next(iter(source.values()))["name"]) in named
            secrets = [each["valueFrom"]["secretKeyRef"] for each in container.get("env", []) if "valueFrom" in each]
            assert {each["key"] for each in secrets} <= literals
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in MANIFESTS if each["kind"] == "Deployment"]
    for service in (each["spec"] for each in MANIFESTS if each["kind"] == "Service"):
        assert any(service["selector"].items() <= each.items() for each in labels)


def test_health_is_asked_where_it_is_reported() -> None:
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:9/none", key_pepper=SecretStr("p" * 16))
    facade = TestClient(create_app(settings))
    [container] = PODS["facade"]["containers"]
    [port] = [each["containerPort"] for each in container["ports"]]
    for probe in (container["readinessProbe"]["httpGet"], container["livenessProbe"]["httpGet"]):
        assert facade.get(probe["path"]).status_code in (200, 503)  # without a database it is not ready
        assert probe["port"] == port
    asks = COMPOSE["services"]["facade"]["healthcheck"]["test"][-1]
    assert re.findall(r"127\.0\.0\.1:(\d+)(/\w+)'", asks) == [("8000", "/readyz")]


def test_workers_are_given_the_time_that_stopping_takes() -> None:
    longest = fork_client._STOP_SECONDS + type._REPORT_SECONDS
    assert PODS["worker"]["terminationGracePeriodSeconds"] > longest
    assert float(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > longest


def test_workers_share_the_files_and_the_rows_between_stages() -> None:
    files = Path(image_environment()["HEADRACE_FILES_ROOT"])
    shared = [SERVICES[name]["volumes"][0].split(":")[1] for name in ("facade", "worker")]
    shared += [PODS[name]["containers"][0]["volumeMounts"][0]["mountPath"] for name in ("facade", "worker")]
    for mount in shared:
        assert files.is_relative_to(mount)
        assert Path(staging_root("", files)).is_relative_to(mount)


def test_nothing_runs_as_root_or_can_become_it() -> None:
    [user] = re.findall(r"useradd --uid (\d+) --create-home (\w+)", DOCKERFILE.read_text())
    assert instructions("USER") == [user[1]]
    for pod in PODS.values():
        assert pod["securityContext"]["runAsUser"] == int(user[0])
        assert pod["automountServiceAccountToken"] is False
    for container in containers():
        assert container["image"] == "headrace"
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    for service in COMPOSE["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert service["image"] == "headrace" or service["user"] == "postgres"


def test_nothing_is_written_but_where_something_is_mounted() -> None:
    [home] = instructions("WORKDIR")
    writes = {"/tmp", home}
    for service in COMPOSE["services"].values():
        assert service["read_only"] is True
        if service["image"] == "headrace":
            assert {each.split(":")[0] for each in service["tmpfs"]} == writes
    for pod in PODS.values():
        kept = {each["name"] for each in pod["volumes"] if "emptyDir" in each}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            mounts = {each["mountPath"] for each in container["volumeMounts"] if each["name"] in kept}
            assert container["args"][0] == "mkdir" or mounts == writes


def test_nothing_takes_all_of_the_memory() -> None:
    assert all("mem_limit" in service for service in COMPOSE["services"].values())
    assert all("memory" in container["resources"]["limits"] for container in containers())


def test_each_part_has_the_secrets_that_it_needs() -> None:
    opens = {"HEADRACE_DATABASE_URL", "HEADRACE_ENCRYPTION_KEYS", "PREFECT_API_AUTH_STRING"}
    needed = {
        "prefect": {"PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_AUTH_STRING"},
        "folders": set(),
        "migrate": {"HEADRACE_DATABASE_URL"},
        "facade": opens | {"HEADRACE_KEY_PEPPER"},
        "worker": opens,
    }
    assert {each["name"]: secrets_of(each) for each in containers()} == needed
    asked = {
        name: {key for key, value in each["environment"].items() if ":?" in value} for name, each in SERVICES.items()
    }
    needed["prefect"] = {"PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_SERVER_API_AUTH_STRING"}
    assert asked == {name: keys for name, keys in needed.items() if name != "folders"}
    # What a part asks for is what it reads: without one of these it would not start, or could not work.
    for pod in PODS.values():
        assert pod["enableServiceLinks"] is False


def test_prefect_is_reachable_by_us_alone() -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["prefect"]["ports"])
    [(_, ingress)] = [(who, rule) for who, rule in allowed("ingress") if who == "prefect"]
    assert ingress == {"from": [{"podSelector": {"matchLabels": {"prefect-client": "yes"}}}], "ports": [{"port": 4200}]}
    # The names that its clients use are those that it answers to.
    [host] = re.findall(r"^http://([^:]+):4200/api$", COMPOSE["x-settings"]["PREFECT_API_URL"])
    assert SERVICES["prefect"]["environment"]["HEADRACE_PREFECT_HOSTS"] == host
    [container] = PODS["prefect"]["containers"]
    [config] = [each["data"] for each in MANIFESTS if each["kind"] == "ConfigMap"]
    given = {each["name"]: each.get("value") for each in container["env"]}
    assert config["PREFECT_API_URL"] == f"http://{given['HEADRACE_PREFECT_HOSTS']}:4200/api"


def allowed(direction: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Which pod the policies allow what, of everything that they do."""
    for policy in (each["spec"] for each in MANIFESTS if each["kind"] == "NetworkPolicy"):
        assert policy["policyTypes"], "without it, a policy without rules would say nothing"
        for name in PODS:
            labels = {"app": name} | ({"prefect-client": "yes"} if name != "prefect" else {})
            selector = policy["podSelector"]
            listed = [each["values"] for each in selector.get("matchExpressions", [])]
            if (listed and name in listed[0]) or (not listed and selector["matchLabels"].items() <= labels.items()):
                yield from ((name, rule) for rule in policy.get(direction, []))


def test_only_workers_reach_the_outside() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in MANIFESTS if each["kind"] == "NetworkPolicy"}
    assert policies["all"]["policyTypes"] == ["Ingress", "Egress"]
    assert set(policies["all"]["podSelector"]["matchExpressions"][0]["values"]) == set(PODS)
    everywhere = {name for name, rule in allowed("egress") if "ipBlock" in str(rule.get("to")) or "ports" not in rule}
    assert everywhere == {"worker"}
    ports = {
        name: {port["port"] for who, rule in allowed("egress") if who == name for port in rule.get("ports", [])}
        for name in PODS
    }
    assert ports == {"prefect": {53, 5432}, "facade": {53, 5432, 4200}, "worker": {53, 5432, 4200}}
    [blocks] = [rule["to"] for _, rule in allowed("egress") if "ports" not in rule]
    assert "169.254.0.0/16" in blocks[0]["ipBlock"]["except"], "where clouds hand out the machine's credentials"
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert COMPOSE["services"]["postgres"]["networks"] == ["inside"]


def test_the_image_holds_every_room() -> None:
    lines = DOCKERFILE.read_text().splitlines()
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and len(line.split()) == 3}
    assert {"headrace", "ir", "connectors", "catalog", "flows", "deployments", "api"} <= copied
