"""The documents of connectors by reference: `github` is the live version, `github@3` is version 3."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from headrace.ir.yaml_connectors import reference_in, reference_of

TYPE = "rest_api"
"""The type of connectors that may name a document."""


def references_of(ir: Mapping[str, Any], connectors: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Returns the references in the sources of a document and in its connectors: their types and configs."""
    nodes = (node for node in ir.get("nodes", ()) if isinstance(node, Mapping) and node.get("kind") == "source")
    found = [reference_of(str(node.get("connector"))) for node in nodes]
    found += [reference_in(config) for kind, config in connectors if kind == TYPE]
    return list(dict.fromkeys(str(each) for each in found if each is not None))


def load_documents(
    session: Connection | Session, tenant_id: str, references: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Returns reference → document; what the tenant does not have is left out."""
    wanted = list(references)
    if not wanted:
        return {}
    names = list({each.partition("@")[0] for each in wanted})
    rows = session.execute(_DOCUMENTS, {"tenant": tenant_id, "names": names, "wanted": wanted})
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        found[f"{row.name}@{row.version}"] = row.document
        if row.live:
            found[row.name] = row.document
    return {each: found[each] for each in wanted if each in found}


_DOCUMENTS = text("""
    SELECT c.name, v.version, v.document, v.version = c.live_version AS live
    FROM headrace.yaml_connectors c JOIN headrace.yaml_connector_versions v ON v.yaml_connector_id = c.id
    WHERE c.tenant_id = :tenant AND c.name = ANY (CAST(:names AS text[]))
        AND (v.version = c.live_version OR c.name || '@' || v.version = ANY (CAST(:wanted AS text[])))
""")
