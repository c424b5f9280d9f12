"""The container files say what the code understands; nobody needs a container engine to find that out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from catalog.settings import Settings
from deployments.cli import app

FOLDER = Path(__file__).parents[2] / "deployments"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
MANIFESTS = list(yaml.safe_load_all((FOLDER / "kubernetes" / "headrace.yaml").read_text()))
KNOWN = {f"HEADRACE_{name.upper()}" for name in Settings.model_fields}


def manifest(kind: str, name: str) -> dict[str, Any]:
    return next(each for each in MANIFESTS if (each["kind"], each["metadata"]["name"]) == (kind, name))


def commands() -> list[list[str]]:
    found = [str(service["command"]).split() for name, service in COMPOSE["services"].items() if name != "prefect"
             and "command" in service]  # fmt: skip
    for name in ("facade", "worker"):
        pod = manifest("Deployment", name)["spec"]["template"]["spec"]
        found += [each["args"] for each in [*pod["containers"], *pod.get("initContainers", [])]]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_of_a_container_is_one_of_ours(command: list[str]) -> None:
    words = [word for word in command if not word.startswith("-") and not word[0].isdigit()]
    told = CliRunner().invoke(app, [*words, "--help"])
    assert told.exit_code == 0, told.output
    for option in (word for word in command if word.startswith("--")):
        assert option in told.output


def test_every_setting_is_known() -> None:
    given = set(COMPOSE["x-headrace"]["environment"]) | set(manifest("ConfigMap", "headrace")["data"])
    assert {name for name in given if name.startswith("HEADRACE_")} <= KNOWN
    example = (FOLDER / "compose.env.example").read_text()
    lines = [line.partition("=")[0] for line in example.splitlines() if line and not line.startswith("#")]
    assert {name for name in lines if name.startswith("HEADRACE_")} <= KNOWN


def test_prefect_is_the_release_we_are_pinned_to_and_reachable_by_us_alone() -> None:
    lock = (FOLDER.parent / "requirements.lock").read_text()
    pinned = next(line.removeprefix("prefect==") for line in lock.splitlines() if line.startswith("prefect=="))
    images = [
        COMPOSE["services"]["prefect"]["image"],
        manifest("Deployment", "prefect")["spec"]["template"]["spec"]["containers"][0]["image"],
    ]
    assert all(image.startswith(f"prefecthq/prefect:{pinned}-") for image in images)
    assert all(port.startswith("127.0.0.1:") for port in COMPOSE["services"]["prefect"]["ports"])
    assert manifest("NetworkPolicy", "prefect")["spec"]["podSelector"]["matchLabels"] == {"app": "prefect"}


def test_the_image_holds_every_room() -> None:
    lines = (FOLDER / "containers" / "Dockerfile").read_text().splitlines()
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and len(line.split()) == 3}
    assert {"ir", "connectors", "catalog", "flows", "deployments", "api"} <= copied
