"""Checks of replication slots that pipelines keep at the servers of their sources: a slot that nobody reads fills the
server's disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from headrace.connectors.sql.postgresql.changes.names import base_name, pipeline_part
from headrace.deployments.cli.doctor.finding import Finding

_MOST = 100
_LARGE_BYTES = 1 << 30


def slots(client: httpx.Client, connector: str, found: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Says of the slots that the test of a connector has found: which no pipeline of the tenant reads, which are lost,
    and which keep much of the server's log."""
    owners = _owners(client, [str(each["name"]) for each in found]) if found else None
    if found and owners is None:
        text = f"{connector}: the API does not list the pipelines, so that it is not known which slots they read"
        yield Finding("replication slot", "warning", text)
    for slot in found:
        name, size = str(slot["name"]), f"{slot['held'] / 1_000_000:,.1f} MB"
        if owners is not None and not any(name.startswith(base) for base in owners):
            yield Finding(
                "replication slot",
                "warning",
                f"{connector}: no pipeline of this tenant reads {name}, for which the server keeps {size} of its log",
                f"If no other installation does, at that server: SELECT pg_drop_replication_slot('{name}'); "
                f'DROP PUBLICATION IF EXISTS "{name}";',
            )
        elif slot["lost"]:
            yield Finding(
                "replication slot",
                "warning",
                f"{connector}: the server has removed changes that {name} had not read",
                "Reset the cursors of its pipeline, and raise max_slot_wal_keep_size at the server.",
            )
        elif slot["held"] > _LARGE_BYTES:
            yield Finding(
                "replication slot",
                "warning",
                f"{connector}: the server keeps {size} of its log for {name}",
                "Run its pipeline more often, or see why its runs fail.",
            )


def _owners(client: httpx.Client, names: Sequence[str]) -> list[str] | None:
    """What the names of the slots of the tenant's pipelines begin with; None if that cannot be found out."""
    pipelines: list[str] = []
    cursor: str | None = None
    while True:
        answer = client.get("/pipelines", params={"limit": _MOST, **({"cursor": cursor} if cursor else {})})
        if not answer.is_success:
            return None
        body = answer.json()
        pipelines += [each["id"] for each in body["data"]]
        if not (cursor := body["pagination"].get("cursor")):
            break
    found: list[str] = []
    for pipeline in pipelines:
        if any(name.startswith(pipeline_part(pipeline)) for name in names):
            answer = client.get(f"/pipelines/{pipeline}/ir", params={"live": "true"})
            nodes = answer.json()["ir"].get("nodes", ()) if answer.is_success else ()
            found += [base_name(pipeline, node["id"]) for node in nodes if _keeps(node)]
    return found


def _keeps(node: Mapping[str, Any]) -> bool:
    reads = node.get("kind") == "source" and node.get("connector") == "postgresql"
    return reads and (node.get("config") or {}).get("changes") is not None
