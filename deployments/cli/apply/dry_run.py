"""The server's part of a dry run: it executes the requests of an apply and rolls them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from headrace.catalog.schemas.names import sanitised
from headrace.deployments.cli.apply.comparison import Change
from headrace.deployments.cli.apply.perform import perform
from headrace.deployments.cli.apply.tenant import COLLECTIONS, Item, Tenant
from headrace.deployments.cli.documents.load import Document, DocumentsInvalid, Fault, Origin
from headrace.deployments.cli.documents.models import YAML_CONNECTOR
from headrace.deployments.cli.rest import ApiRefused, Rest
from headrace.ir.problems import Problem

_MAX_REQUESTS = 1_000


def server_dry_run(changes: Sequence[Change], documents: Sequence[Document], tenant: Tenant) -> tuple[str, ...]:
    """Raises DocumentsInvalid with everything that the server would refuse, and its places in the files. Returns notes
    about what could not be checked."""
    notebook = _RecordingSession()
    stage = tenant.on(cast(Rest, notebook))
    perform(tuple(changes), list(documents), stage, {}, None, notebook.done)
    if not notebook.requests:
        return ()
    try:
        found = tenant.rest.post("/applied-sets/rehearsal", {"requests": notebook.requests[:_MAX_REQUESTS]})
    except ApiRefused as error:
        if error.status not in (403, 413):
            raise
        return (f"not tried on the server, which needs a key of an editor or admin: {error.message}",)
    faults = [fault for each in found["refused"] for fault in _faults(notebook.changes[each["index"]], each)]
    if faults:
        raise DocumentsInvalid(faults)
    left = len(notebook.requests) - _MAX_REQUESTS
    remarks = (f"{left:,} requests were not tried: {_MAX_REQUESTS:,} are at most",) if left > 0 else ()
    return remarks + tuple(
        f"{change.kind} {change.name} could not be checked: {each['reason']}"
        for each in found["unknown"]
        for change in [notebook.changes[each["index"]]]
    )


def _faults(change: Change, refused: dict[str, Any]) -> list[Fault]:
    origin = change.document.origin if change.document is not None else Origin("--prune", 1, {})
    problems = [Problem(each["path"], each["code"], each["message"], each["hint"]) for each in refused["details"]]
    whole = f"{change.action} {change.kind} {change.name}: {refused['message']}"
    return [Fault(origin, each) for each in problems or [Problem("", "refused", whole)]]


class _RecordingSession:
    """Records requests instead of sending them, like `Rest`; `changes` has the change of each request."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.changes: list[Change] = []

    def done(self, change: Change) -> None:
        """Assigns the requests recorded since the previous change to this one."""
        self.changes += [change] * (len(self.requests) - len(self.changes))

    def post(self, path: str, body: Any = None, **query: Any) -> Item:
        """Records a creation; returns a temporary name and id."""
        known_as = f"new:{len(self.requests)}"
        if path == COLLECTIONS[YAML_CONNECTOR]:  # its id is in the document, so nothing refers to a temporary one
            self._note("POST", path, query, body)
            return {"id": body["id"]}
        self._note("POST", path, query, body, known_as)
        name = body["document"]["metadata"]["name"] if path == "/replications" else body.get("name", "")
        return {"id": known_as, "name": sanitised(name) or name if path == "/schemas" else name}

    def put(self, path: str, body: Any, **query: Any) -> Item:
        """Records an update."""
        self._note("PUT", path, query, body)
        return {"id": body["id"]}

    def delete(self, path: str, **query: Any) -> None:
        """Records a deletion."""
        self._note("DELETE", path, query)

    def _note(
        self, method: str, path: str, query: dict[str, Any], body: Any = None, known_as: str | None = None
    ) -> None:
        given = {name: value for name, value in query.items() if value is not None}
        request = {"method": method, "path": path, "query": given, "body": body, "knownAs": known_as}
        self.requests.append({name: value for name, value in request.items() if value is not None})
