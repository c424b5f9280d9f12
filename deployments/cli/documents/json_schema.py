"""The JSON Schema of the files that `headrace apply` reads, for editors: connectors, schemas, pipelines and
replications."""

from __future__ import annotations

from headrace.connectors.specs import CONNECTOR_TYPES
from headrace.deployments.cli.documents.models import ConnectorShape, PipelineShape, ReplicationShape, SchemaShape
from headrace.flows.validation.document_schema import published_schema
from headrace.ir.json_schema import DIALECT, Schema, schema_of
from headrace.ir.replication.json_schema import replication_schema
from headrace.ir.schema import DATA_TYPES

SCHEMA_ID = "urn:headrace:files:1.0"


def files_schema() -> Schema:
    """The schema (JSON Schema 2020-12) of one YAML document, or of a JSON file with one document or a list."""
    pipeline = published_schema()
    definitions: Schema = pipeline.pop("$defs")
    for key in ("$schema", "$id"):
        del pipeline[key]
    beside = schema_of(PipelineShape)
    pipeline["properties"] = beside["properties"] | pipeline["properties"]
    pipeline["required"] = [*pipeline["required"], *beside["required"]]
    pipeline |= {"title": "pipeline", "description": beside["description"]}
    replication = _replication(definitions)
    connector, schema = schema_of(ConnectorShape), schema_of(SchemaShape)
    for each in (connector, schema):
        definitions |= each.pop("$defs", {})
        each["properties"]["$schema"] = {"type": "string"}
    connector["properties"]["type"]["enum"] = sorted(CONNECTOR_TYPES)
    # A reference to one block of Prefect for all credentials.
    credentials = connector["properties"]["authConfig"]
    credentials["anyOf"].append({"type": "string", "pattern": r"^(prefect://|\$\{prefect:)"})
    definitions["FieldShape"]["properties"]["dataType"]["enum"] = list(DATA_TYPES)
    definitions |= {"PipelineFile": pipeline, "ConnectorFile": connector, "SchemaFile": schema}
    definitions["ReplicationFile"] = replication
    names = ("ConnectorFile", "SchemaFile", "PipelineFile", "ReplicationFile")
    one = {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in names]}
    return {
        "$schema": DIALECT,
        "$id": SCHEMA_ID,
        "title": "Headrace files",
        "description": "Connectors, schemas, pipelines and replications as `headrace apply` reads them.",
        "anyOf": [one, {"type": "array", "items": one}],
        "$defs": definitions,
    }


def _replication(definitions: Schema) -> Schema:
    """The schema of a replication's file; what it refers to is added to the definitions."""
    made = replication_schema()
    definitions |= made.pop("$defs")
    for key in ("$schema", "$id"):
        del made[key]
    beside = schema_of(ReplicationShape)
    made["properties"] = made["properties"] | {"active": beside["properties"]["active"]}
    return made | {"title": "replication", "description": beside["description"]}
