"""One valid request per operation of the API, for the objects of a World."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.api.contract.conftest import World, yaml_document

Facts = Callable[[World], dict[str, Any]]


@dataclass(frozen=True)
class Call:
    """How to ask: `ids` are path parameters that are not the world's of the same name, `path` those that are no
    objects, `spends` says that what it asks for is not the same afterwards, `status` is the answer to who may."""

    status: int = 200
    ids: dict[str, str] = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)
    query: Facts = lambda _: {}
    body: Facts | None = None
    files: Facts | None = None
    spends: bool = False


def of(name: str, wire: str = "id") -> Facts:
    """`{wire: the world's object of that name}`."""
    return lambda world: {wire: world.ids[name]}


def _new_pipeline(world: World) -> dict[str, Any]:
    references = {"connectorId": world.ids["connector_id"], "schemaId": world.ids["schema_id"]}
    return {"name": _new(), **references, "irVersion": "1.0", "ir": world.ir}


def _new_replication(world: World) -> dict[str, Any]:
    return {"document": {**world.replication, "metadata": {"name": _new()}}}


def _new() -> str:
    return f"n{uuid4().hex[:12]}"


def _ir(world: World) -> dict[str, Any]:
    return {"ir": world.ir}


CALLS: dict[str, Call] = {
    "list_pipelines": Call(),
    "create_pipeline": Call(201, body=_new_pipeline),
    "update_pipeline": Call(body=lambda world: {"id": world.ids["pipeline_id"], "description": "changed"}),
    "delete_pipeline": Call(204, query=lambda world: of("pipeline_id")(world) | {"force": "true"}, spends=True),
    "get_pipeline": Call(),
    "get_ir": Call(),
    "save_ir": Call(body=_ir),
    "check_ir": Call(body=_ir),
    "list_ir_versions": Call(),
    "compare_ir": Call(query=lambda _: {"from": 1, "to": 2}),
    "get_ir_lineage": Call(),
    "publish_ir": Call(body=lambda _: {"version": 1}, spends=True),
    "validate_ir": Call(body=_ir),
    "plan_pipeline": Call(),
    "preview_pipeline": Call(),
    "preview_sql": Call(),
    "start_run": Call(201, body=lambda _: {}),
    "list_runs": Call(),
    "get_run": Call(),
    "get_progress": Call(),
    "get_log": Call(query=lambda _: {"level": "error"}),
    "get_errors": Call(),
    "summarise_errors": Call(),
    "stream_progress": Call(),
    "retry_run": Call(201, spends=True),
    "try_retry": Call(422),  # the run of the world failed: it has no rows to try
    "cancel_run": Call(202, ids={"run_id": "waiting_run_id"}, spends=True),
    "get_dlq": Call(query=lambda _: {"node": "v"}),
    "get_dlq_of_run": Call(query=lambda _: {"node": "v"}),
    "list_replications": Call(),
    "create_replication": Call(201, body=_new_replication),
    "update_replication": Call(body=lambda world: {"id": world.ids["replication_id"], "status": "paused"}),
    "delete_replication": Call(204, query=lambda world: of("replication_id")(world) | {"force": "true"}, spends=True),
    "get_replication": Call(),
    "plan_replication": Call(422),  # nothing may be dialled here
    "run_replication": Call(201),
    "list_replication_runs": Call(),
    "get_replication_run": Call(ids={"run_id": "failed_copy_id"}),
    "get_replication_progress": Call(ids={"run_id": "failed_copy_id"}),
    "retry_replication_run": Call(201, ids={"run_id": "failed_copy_id"}, spends=True),
    "cancel_replication_run": Call(202, ids={"run_id": "waiting_copy_id"}, spends=True),
    "list_connectors": Call(),
    "create_connector": Call(201, body=lambda _: {"name": _new(), "type": "local_fs"}),
    "update_connector": Call(body=lambda world: {"id": world.ids["connector_id"], "description": "changed"}),
    "delete_connector": Call(204, query=of("spare_connector_id"), spends=True),
    "test_connection": Call(body=lambda _: {"type": "local_fs", "config": {}}),
    "get_connector": Call(),
    "test_connector": Call(),
    "list_streams": Call(),
    "get_stream": Call(query=lambda _: {"name": "orders.csv"}),
    "sample_rows": Call(query=lambda _: {"name": "orders.csv"}),
    "list_files": Call(ids={"connector_id": "uploads_id"}),
    "upload_file": Call(201, ids={"connector_id": "uploads_id"}, files=lambda _: {"file": (f"{_new()}.csv", b"id")}),
    "delete_file": Call(204, ids={"connector_id": "uploads_id", "name": "upload_name"}, spends=True),
    "receive_hook": Call(202, body=lambda _: {"amount": 1}),
    "list_yaml_connectors": Call(),
    "list_shipped_connectors": Call(),
    "get_shipped_connector": Call(path={"shipped_id": "stripe"}),
    "create_yaml_connector": Call(201, body=lambda _: yaml_document(_new())),
    "get_yaml_connector": Call(),
    "save_yaml_connector": Call(200, body=lambda world: yaml_document(world.ids["document_id"])),
    "delete_yaml_connector": Call(204, ids={"document_id": "spare_document_id"}, spends=True),
    "list_yaml_connector_versions": Call(),
    "get_yaml_connector_version": Call(path={"version": "1"}),
    "compare_yaml_connector": Call(query=lambda _: {"from": 1, "to": 1}),
    "publish_yaml_connector": Call(body=lambda _: {"version": 1}),
    "list_connector_types": Call(),
    "list_schemas": Call(),
    "create_schema": Call(201, body=lambda _: {"name": _new(), "displayName": "New"}),
    "update_schema": Call(body=lambda world: {"id": world.ids["schema_id"], "description": "changed"}),
    "delete_schema": Call(204, query=lambda world: of("spare_schema_id")(world) | {"confirm": "true"}, spends=True),
    "get_schema": Call(),
    "list_fields": Call(),
    "add_field": Call(201, body=lambda _: {"name": _new(), "dataType": "text"}),
    "change_field": Call(body=lambda world: {"id": world.ids["field_id"], "description": "changed"}),
    "drop_field": Call(204, query=lambda world: of("field_id")(world) | {"confirm": "true"}, spends=True),
    "read_rows": Call(),
    "insert_rows": Call(201, body=lambda _: {"rows": [{"amount": 1}]}),
    "read_stats": Call(),
    "list_api_keys": Call(),
    "create_api_key": Call(201, body=lambda _: {"name": _new()}),
    "revoke_api_key": Call(204, query=of("key_id"), spends=True),
    "list_audit_logs": Call(),
    "verify_audit_logs": Call(),
    "read_applied_set": Call(query=lambda _: {"name": "default"}),
    "put_applied_set": Call(query=lambda _: {"name": "default"}, body=lambda _: {"objects": []}),
    "rehearse_requests": Call(body=lambda _: {"requests": []}),
    "get_lineage": Call(query=of("table", "table")),
    "get_scheduler_status": Call(),
    "get_sources": Call(),
    "get_cursors": Call(),
    "change_cursors": Call(ids={"pipeline_id": "idle_pipeline_id"}, body=lambda _: {"reset": True}),
}
"""By `operationId`. Operations that are missing here fail the tests."""
