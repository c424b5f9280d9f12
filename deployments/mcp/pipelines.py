"""Tools for pipelines and their documents. A change is shown first, and saved when it is confirmed."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from pydantic import Field

from headrace.deployments.cli.rest import Rest, find_pipeline
from headrace.deployments.mcp.named import named_id
from headrace.deployments.mcp.tools import reads, writes
from headrace.ir.diff import ir_diff

Pipeline = Annotated[str, Field(description="The pipeline's name or id")]
Document = Annotated[dict[str, Any], Field(description="A Pipeline IR document; `catalogue` lists what it may contain")]
Confirm = Annotated[
    str | None, Field(description="`confirm` of the answer that showed this change; without it, nothing is saved")
]

_SHOWN = ("id", "name", "status", "schedule", "lastRunAt", "lastRunStatus")


class PipelineTools:
    """Over one session with the API."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    @reads
    def list_pipelines(
        self,
        text: Annotated[str | None, Field(description="Part of the name")] = None,
        cursor: Annotated[str | None, Field(description="`next` of the page before")] = None,
    ) -> Any:
        """List pipelines with their last run, 50 at a time, newest first."""
        page = self._rest.get("/pipelines", q=text, limit=50, cursor=cursor)
        found = [{name: each[name] for name in _SHOWN} for each in page["data"]]
        return {"pipelines": found, "total": page["pagination"]["total"], "next": page["pagination"]["cursor"]}

    @reads
    def get_pipeline(
        self,
        pipeline: Pipeline,
        version: Annotated[int | None, Field(description="Without it, the newest version")] = None,
    ) -> Any:
        """Show a pipeline: its document (IR), version, settings and problems."""
        found = find_pipeline(self._rest, pipeline)
        detail = self._rest.get(f"/pipelines/{found['id']}")
        document = self._rest.get(f"/pipelines/{found['id']}/ir", version=version)
        settings = {name: detail[name] for name in (*_SHOWN, "executionConfig", "connector", "schema")}
        return settings | {"issues": detail.get("issues") or [], **_without(document, "createdAt", "authoredBy")}

    @reads
    def validate_document(self, document: Document) -> Any:
        """Check a document without saving it: every problem with path, message and hint, and the columns of each
        node."""
        return self._rest.post("/ir/validate", document)

    @reads
    def plan(self, pipeline: Pipeline) -> Any:
        """Show what a run would do: stages, partitions, rows, SQL, and changes of tables. Nothing runs."""
        return self._rest.post(f"{self._path(pipeline)}/plan", {})

    @reads
    def preview(
        self,
        pipeline: Pipeline,
        node: Annotated[str | None, Field(description="Only this node; without it, all")] = None,
        rows: Annotated[int, Field(ge=1, le=50, description="Source rows to read")] = 5,
    ) -> Any:
        """Show rows and errors after each node, of the first rows of the sources. Nothing is written."""
        body = {"limit": rows} | ({"node": node} if node is not None else {})
        return self._rest.post(f"{self._path(pipeline)}/preview", body)

    @writes
    def create_pipeline(
        self,
        connector: Annotated[str, Field(description="Name or id of the connector of its source")],
        schema: Annotated[str, Field(description="Name or id of the schema (table) of its target")],
        document: Document,
        confirm: Confirm = None,
    ) -> Any:
        """Create a pipeline; its name is `metadata.name`. The first call checks it and answers `confirm`; the call with
        that saves it."""
        places = {
            "connectorId": named_id(self._rest, "connector", connector),
            "schemaId": named_id(self._rest, "schema", schema),
        }
        token = _token(places, document)
        checked = self._rest.post("/ir/validate", document)
        if not checked["valid"]:
            return {"saved": False, **checked}
        if confirm != token:
            return {"saved": False, "valid": True, "nodes": checked["nodes"], "confirm": token}
        body = {"name": document["metadata"]["name"], "irVersion": "1.0", "ir": document, **places}
        made = self._rest.post("/pipelines", body)
        return {"saved": True, "id": made["id"], "name": made["name"], "issues": made.get("issues") or []}

    @writes
    def update_pipeline(self, pipeline: Pipeline, document: Document, confirm: Confirm = None) -> Any:
        """Save a new version of a pipeline's document and make it live. The first call shows the difference, problems
        and possible losses, and answers `confirm`; the call with that saves it, unless somebody else saved a version
        in between."""
        path = self._path(pipeline)
        before = self._rest.get(f"{path}/ir")
        token = _token(before["version"], document)
        if confirm == token:
            saved = self._rest.post(f"{path}/ir", {"ir": document}, {"If-Match": str(before["version"])})
            return {"saved": True, "version": saved["version"]}
        checked = self._rest.post(f"{path}/ir/check", document)
        problems = {"saved": False, "issues": checked["issues"], "losses": checked["losses"]}
        if checked["issues"]:
            return problems
        changes = [
            {"node": change.node, "change": change.change, "details": list(change.details)}
            for change in ir_diff(before["ir"], document).changes
        ]
        stale = {"note": "This confirmation is not of this change and the version of now."} if confirm else {}
        return problems | {"from": before["version"], "changes": changes, "confirm": token} | stale

    def _path(self, pipeline: str) -> str:
        return f"/pipelines/{find_pipeline(self._rest, pipeline)['id']}"


def _token(*parts: Any) -> str:
    """Stands for exactly this change of exactly this state."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _without(shown: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if name not in names}
