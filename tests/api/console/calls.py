"""A valid request for each page of the console, and who may send it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from headrace.api.console.guard import GuardedPage
from headrace.api.console.router import GUARDED
from tests.api.conftest import IR, Facade
from tests.api.console.people import People
from tests.api.console.worlds import HOSTILE, World


@dataclass(frozen=True)
class Call:
    """A valid request for a page: `run` names the run of the World that it is for; `statuses` answer those who may."""

    statuses: tuple[int, ...] = (200,)
    query: dict[str, str] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)
    run: str = "run_id"
    file: bool = False


NOT_READ = (422,)
"""The sources of these tests are not there: a plan says so."""

TEXT = f"metadata: {{name: x}}\nkind: pipeline\nversion: '1.0'\nid: x\nnodes: {json.dumps(IR['nodes'])}\n"
"""A document of a pipeline."""

CALLS: dict[str, Call] = {
    "console_home": Call(),
    "console_health": Call(),
    "console_run": Call(),
    "console_run_live": Call(),
    "console_run_stream": Call(),
    "console_run_log": Call(),
    "console_run_log_part": Call(query={"level": "warning", "q": "said"}),
    "console_retry": Call((303, 422), run="failed_id"),
    "console_cancel": Call((303,), run="waiting_id"),
    "console_errors": Call(query={"kind": "failed"}),
    "console_error_groups": Call(),
    "console_error_row": Call(query={"node": "check", "row": "3"}),
    "console_errors_csv": Call(),
    "console_quarantine": Call(),
    "console_try_quarantine": Call(NOT_READ),
    "console_pipeline": Call(),
    "console_start_run": Call((303,)),
    "console_pause": Call((303,), form={"status": "paused"}),
    "console_graph": Call(),
    "console_versions": Call(query={"from": "1", "to": "2"}),
    "console_publish": Call((303,), form={"version": "1"}),
    "console_lineage": Call(),
    "console_plan": Call(query={"node": "check"}),
    "console_plan_stages": Call(NOT_READ),
    "console_preview": Call(NOT_READ, query={"node": "check"}),
    "console_settings": Call(),
    "console_save_settings": Call((303, 409), form={"name": "renamed"}),
    "console_replications": Call(),
    "console_replication": Call(),
    "console_replication_run": Call(run="copied_id"),
    "console_replication_tables": Call(run="copied_id"),
    "console_replication_plan": Call(NOT_READ),
    "console_run_replication": Call((303,)),
    "console_pause_replication": Call((303,), form={"status": "paused"}),
    "console_retry_replication": Call((303,), run="copied_id"),
    "console_cancel_replication": Call((303,), run="copying_id"),
    "console_edit_replication": Call(),
    "console_save_replication": Call((400,), form={"text": HOSTILE, "based_on": "1"}),
    "console_check_replication": Call(form={"text": f"kind: replication\n{HOSTILE}: 1"}),
    "console_compare_replication": Call(form={"text": HOSTILE}),
    "console_plan_replication_text": Call((400,), form={"text": HOSTILE}),
    "console_edit": Call(),
    "console_save_document": Call((303,), form={"text": TEXT, "based_on": "2"}),
    "console_check_document": Call(form={"text": f"{TEXT}  # {HOSTILE}\n{HOSTILE}: 1"}),
    "console_compare_document": Call(form={"text": HOSTILE}),
    "console_new_pipeline": Call(),
    "console_new_streams": Call((404,), query={"connector": "conn_none"}),
    "console_new_columns": Call((404,), query={"connector": "conn_none", "stream": "x"}),
    "console_create_guided": Call((404,), form={"connector": "conn_none"}),
    "console_new_document": Call(),
    "console_create_document": Call((400,), form={"text": HOSTILE}),
    "console_check_new": Call(form={"text": HOSTILE}),
    "console_connectors": Call(),
    "console_new_connector": Call(query={"type": "postgresql"}),
    "console_create_connector": Call((303, 409), form={"type": "local_fs", "name": "made here"}),
    "console_test_form": Call(form={"type": "local_fs", "config.basePath": HOSTILE}),
    "console_connector": Call(),
    "console_edit_connector": Call(),
    "console_update_connector": Call((303, 409), form={"name": HOSTILE}),
    "console_delete_connector": Call((303, 409)),
    "console_test_connector": Call(),
    "console_streams": Call(NOT_READ),
    "console_stream": Call(NOT_READ, query={"name": HOSTILE}),
    "console_stream_rows": Call(NOT_READ, query={"name": HOSTILE}),
    "console_upload": Call((404,), file=True),
    "console_delete_file": Call((404,)),
    "console_schemas": Call(),
    "console_schema": Call(),
    "console_statistics": Call(),
    "console_calendar": Call(query={"all": "true"}),
    "console_audit": Call(),
    "console_verify_audit": Call(),
    "console_keys": Call(),
    "console_create_key": Call((201,), form={"name": HOSTILE, "role": "viewer"}),
    "console_revoke_key": Call((404,), form={"id": "key_none"}),
}


def routes() -> Iterator[APIRoute]:
    for router in GUARDED:
        for route in router.routes:
            assert isinstance(route, GuardedPage)
            yield route


ROUTES = {route.name: route for route in routes()}


@dataclass(frozen=True)
class Shared:
    """What the tests of a module share, as long as they change nothing of it."""

    facade: Facade
    people: People
    world: World


def ask(client: TestClient, name: str, world: World) -> Any:
    route, call = ROUTES[name], CALLS[name]
    path = route.path.format(**vars(world) | {"run_id": getattr(world, call.run), "name": "orders.csv"})
    if call.file:
        return client.post(path, files={"file": ("orders.csv", b"amount\n1\n")})
    method = next(iter(route.methods or ()))
    return client.request(method, path, params=call.query, data=call.form or None)


def roles_of(name: str) -> list[str]:
    extra: dict[str, Any] = ROUTES[name].openapi_extra or {}
    return list(extra["x-roles"])
