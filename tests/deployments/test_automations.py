"""The shipped automations, created as documented: one calls a webhook, one starts a pipeline after another."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from headrace.deployments.stack.environment import base_environment
from tests.conftest import RunningStack
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack

AUTOMATIONS = Path(__file__).parents[2] / "deployments" / "automations"


@pytest.fixture
def webhook() -> Iterator[tuple[str, queue.Queue[dict[str, Any]]]]:
    """A server on this machine, and what is sent to it."""
    received: queue.Queue[dict[str, Any]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def created(stack: RunningStack, tmp_path: Path) -> Iterator[Any]:
    """Creates an automation from a file of ours with Prefect's command line; deleted afterwards."""
    names: list[str] = []
    environment = base_environment() | {
        **stack.prefect_api.environment,
        "PREFECT_HOME": str(stack.data_dir / "cli"),
    }

    def create(file: str, replaced: dict[str, str], **trigger: Any) -> None:
        text = (AUTOMATIONS / file).read_text()
        for placeholder, value in replaced.items():
            assert placeholder in text
            text = text.replace(placeholder, value)
        document = yaml.safe_load(text)
        document["name"] += f" {uuid4().hex[:6]}"
        document["trigger"]["match"] |= trigger
        names.append(document["name"])
        path = tmp_path / file
        path.write_text(yaml.safe_dump(document))
        command = [sys.executable, "-m", "prefect", "automation", "create", "--from-file", str(path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        # The server's triggers take it up from a message, a moment later.
        threading.Event().wait(6)

    yield create
    for name in names:
        found = stack.prefect.post("/automations/filter", json={"automations": {"name": {"any_": [name]}}}, timeout=30)
        for each in found.json():
            stack.prefect.delete(f"/automations/{each['id']}", timeout=30)


def webhook_block(stack: RunningStack, url: str) -> str:
    """The id of a Webhook block, made as docs/prefect.md shows."""
    code = f"from prefect.blocks.webhook import Webhook; print(Webhook(url={url!r}).save('alerts-{uuid4().hex[:6]}'))"
    environment = base_environment() | stack.prefect_api.environment
    environment["PREFECT_HOME"] = str(stack.data_dir / "cli")
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.split()[-1]


def test_a_webhook_is_called_when_a_run_completes_with_errors_or_fails_and_not_otherwise(
    stack: RunningStack, webhook: tuple[str, queue.Queue[dict[str, Any]]], created: Any
) -> None:
    url, received = webhook
    api = Api(stack).create()
    match = {"prefect.resource.id": f"headrace.pipeline.{api.pipeline}"}
    created("alert.yaml", {"BLOCK_ID": webhook_block(stack, url)}, **match)
    run_id = api.start()
    reported = received.get(timeout=120)
    assert reported == {
        "event": "headrace.run.completed_with_errors",
        "pipeline": api.name,
        "run": run_id,
        "reason": None,
        "failedRows": 1,
        "rowsOut": 2,
    }
    api.file.unlink()
    run_id = api.start()
    reported = [received.get(timeout=120) for _ in range(2)]
    assert {each["event"] for each in reported} == {"headrace.run.failed", "headrace.run.missed_file"}
    assert {each["run"] for each in reported} == {run_id}
    assert all("does not exist" in each["reason"] for each in reported)
    assert received.empty()
    api.close()


@pytest.mark.slow
def test_one_pipeline_follows_another(stack: RunningStack, created: Any) -> None:
    first, second = (Api(stack, "amount,note\n1,a\n").create() for _ in range(2))
    placeholders = {"FIRST_PIPELINE_ID": first.pipeline, "SECOND_DEPLOYMENT_ID": second.deployment()}
    created("chain.yaml", placeholders)
    assert first.run()["status"] == "completed"
    [item] = eventually(lambda: second.runs() or None)
    assert second.finished(item["id"])["status"] == "completed"
    assert len(second.rows()) == 1
    first.close()
    second.close()
