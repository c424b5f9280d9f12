"""A client generated from the OpenAPI document by openapi-python-client creates, runs and reads a pipeline."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from tests.api.contract.openapi_document import document
from tests.conftest import RunningStack

PACKAGE = "headrace_generated_client"
_PATIENCE_S = 120


@pytest.fixture(scope="module")
def client_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the generated package, added to the import path."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_text(json.dumps(document()))
    overrides = "content_type_overrides: {application/yaml: application/octet-stream}\n"
    (folder / "config.yml").write_text(f"package_name_override: {PACKAGE}\npost_hooks: []\n{overrides}")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json"]
    options = ["--config", "config.yml", "--meta", "none", "--output-path", PACKAGE, "--fail-on-warning"]
    generated = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=False)
    assert generated.returncode == 0, generated.stdout + generated.stderr
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def module(name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.{name}")


def call(client: Any, name: str, status: int, **arguments: Any) -> Any:
    """The parsed response of an operation, by its tag and id."""
    response = module(f"api.{name}").sync_detailed(client=client, **arguments)
    assert response.status_code == status, response.content
    return response.parsed


def test_every_operation_has_a_function(client_folder: Path) -> None:
    document = json.loads((client_folder / "openapi.json").read_text())
    wanted = {operation["operationId"] for item in document["paths"].values() for operation in item.values()}
    assert len(wanted) == sum(len(item) for item in document["paths"].values())
    made = {path.stem for path in (client_folder / PACKAGE / "api").rglob("*.py")}
    assert wanted <= made


@pytest.mark.stack
def test_it_creates_runs_and_reads_a_pipeline(client_folder: Path, stack: RunningStack) -> None:
    models = module("models")
    base = stack.api_url.removesuffix("/api/v1")
    client = module("client").AuthenticatedClient(
        base_url=base, token=stack.api_key, auth_header_name="X-API-Key", prefix=""
    )
    name = f"client_{uuid4().hex[:8]}"
    (stack.files_root / f"{name}.csv").write_text("amount\n1\n2\nx\n")
    fields = [{"name": "amount", "dataType": "integer"}]
    schema_body = models.CreateSchema.from_dict({"name": name, "displayName": name, "fields": fields})
    schema = call(client, "schemas.create_schema", 201, body=schema_body)
    connector_body = models.CreateConnector.from_dict({"name": name, "type": "local_fs"})
    connector = call(client, "connectors.create_connector", 201, body=connector_body)
    source = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": f"{name}.csv"}}
    source["fields"] = fields
    target = {"id": "tgt", "kind": "target", "input": "src", "loadMode": "append"}
    target["schema"] = f"public.{schema.table_name}"
    ir = {"kind": "pipeline", "version": "1.0", "id": name, "metadata": {"name": name}, "nodes": [source, target]}
    references = {"connectorId": connector.id, "schemaId": schema.id}
    body = models.CreatePipeline.from_dict({"name": name, **references, "irVersion": "1.0", "ir": ir})
    pipeline = call(client, "pipelines.create_pipeline", 201, body=body)
    run = call(client, "runs.start_run", 201, pipeline_id=pipeline.id, body=models.RunRequest())
    deadline = time.monotonic() + _PATIENCE_S
    progress = call(client, "runs.get_progress", 200, pipeline_id=pipeline.id, run_id=run.id)
    while progress.status in ("pending", "running") and time.monotonic() < deadline:
        time.sleep(0.2)
        progress = call(client, "runs.get_progress", 200, pipeline_id=pipeline.id, run_id=run.id)
    assert (progress.status, progress.rows_in, progress.rows_out) == ("completed_with_errors", 3, 2)
    errors = call(client, "runs.get_errors", 200, pipeline_id=pipeline.id, run_id=run.id)
    assert [(error.row, error.error) for error in errors.errors] == [(3, "Expected integer")]
    assert call(client, "pipelines.get_pipeline", 200, pipeline_id=pipeline.id).last_run_status == progress.status
    missing = call(client, "pipelines.get_pipeline", 404, pipeline_id="pipe_none")
    assert missing.error.code == "not_found"
