"""The container files say what the code understands; nobody needs a container engine to find that out."""

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

from api.app import create_app
from catalog.settings import Settings, staging_root
from deployments.cli import app
from deployments.worker import nursery, type

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


def commands() -> set[str]:
    """Every command that a container is given, that the image has, and that the files tell people to run."""
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
        told = CliRunner().invoke(app, [*words, "--help"])  # an option that there is not is refused all the same
        assert told.exit_code == 0, told.output


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
            told = {"service_healthy": "healthcheck", "service_completed_successfully": "restart"}[waits["condition"]]
            assert told in COMPOSE["services"][other], f"{name} would wait for {other} for ever"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (FOLDER / source).exists()
    asked = set(re.findall(r"\$\{(\w+)", FILES[0].read_text()))
    assert asked == set(re.findall(r"^(\w+)=", FILES[1].read_text(), re.MULTILINE))


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: f"{each['kind']} {each['metadata']['name']}")
def test_the_manifests_are_what_kubernetes_knows(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_what_manifests_refer_to_is_there() -> None:
    named = {(each["kind"], each["metadata"]["name"]) for each in MANIFESTS} | {("Secret", "headrace")}
    literals = set(re.findall(r"--from-literal=(\w+)=", FILES[2].read_text()))
    for pod in PODS.values():
        claims = {each["name"]: each["persistentVolumeClaim"]["claimName"] for each in pod.get("volumes", [])}
        assert {("PersistentVolumeClaim", claim) for claim in claims.values()} <= named
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


def test_health_is_asked_where_it_is_told() -> None:
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
    longest = nursery._STOP_SECONDS + type._REPORT_SECONDS
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
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_prefect_is_reachable_by_us_alone() -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["prefect"]["ports"])
    [policy] = [each["spec"] for each in MANIFESTS if each["kind"] == "NetworkPolicy"]
    assert policy["podSelector"]["matchLabels"] == {"app": "prefect"}


def test_the_image_holds_every_room() -> None:
    lines = DOCKERFILE.read_text().splitlines()
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and len(line.split()) == 3}
    assert {"ir", "connectors", "catalog", "flows", "deployments", "api"} <= copied
