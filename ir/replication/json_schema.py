"""The JSON Schema of a replication document, made from its models."""

from __future__ import annotations

from headrace.ir.json_schema import DIALECT, Schema, schema_of
from headrace.ir.replication.document import ReplicationIR

SCHEMA_ID = "urn:headrace:replication:1.0"


def replication_schema() -> Schema:
    """Returns the schema of a replication document (JSON Schema 2020-12), a new object at every call."""
    schema = schema_of(ReplicationIR)
    schema |= {"title": "Replication 1.0", "description": "Many tables of one connection, each copied by a pipeline."}
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **schema}
