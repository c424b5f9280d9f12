"""The pipeline document of one replicated table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.catalog.schemas.ddl import TABLE_SCHEMA
from headrace.connectors.connector import Connector
from headrace.flows.replication.columns import read_as_text
from headrace.flows.replication.found import FoundColumn, FoundTable
from headrace.flows.replication.loading import Loading
from headrace.ir.load_modes import LOAD_MODES
from headrace.ir.replication import ReplicationIR
from headrace.ir.replication.settings import TableSettings

SOURCE, TARGET = "source", "target"


def pipeline_document(
    replication: ReplicationIR,
    settings: TableSettings,
    table: FoundTable,
    loading: Loading,
    name: str,
    loaded: str,
    names: Mapping[str, str],
    connector: Connector,
    columns: Sequence[FoundColumn],
) -> dict[str, Any]:
    """The document of the pipeline called `name` that loads `loaded` (in the schema of tables); `names` are column of
    the source → column of the table, `columns` those that are read. It is as `parse_ir` takes it, and may have
    problems."""
    metadata: dict[str, Any] = {"name": name, "tags": [*replication.metadata.tags, "replication"]}
    if replication.metadata.owner is not None:
        metadata["owner"] = replication.metadata.owner
    if table.comment:
        metadata["description"] = table.comment
    target: dict[str, Any] = {
        "id": TARGET,
        "kind": "target",
        "input": SOURCE,
        "schema": f"{TABLE_SCHEMA}.{loaded}",
        "loadMode": loading.mode,
        "schemaContract": settings.schema_contract,
    }
    if LOAD_MODES[loading.mode].keyed:
        target["upsertKey"] = [names.get(each, each) for each in loading.key]
    if LOAD_MODES[loading.mode].full:
        target["allowEmpty"] = True  # the copy of an empty table is empty
    if loading.deletes is not None:
        target["deletes"] = loading.deletes.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    read = {each.name for each in columns}
    if mapping := {column: source for source, column in names.items() if column != source and source in read}:
        target["mapping"] = mapping
    source: dict[str, Any] = {
        "id": SOURCE,
        "kind": "source",
        "connector": connector.name,
        "config": {**settings.config, **table.settings, **loading.config},
    }
    if table.sampled is not None:  # to declare the fields would leave out what only other documents have
        source["config"]["knownKeys"] = [each.name for each in columns]
    elif any(map(read_as_text, columns)):
        source["fields"] = [_declared(each) for each in columns]
    document: dict[str, Any] = {
        "kind": "pipeline",
        "version": "1.0",
        "id": name,
        "metadata": metadata,
        "nodes": [source, target],
    }
    if handling := settings.error_handling.model_dump(mode="json", by_alias=True, exclude_unset=True):
        document["errorHandling"] = handling
    return document


def _declared(column: FoundColumn) -> dict[str, Any]:
    if read_as_text(column):
        return {"name": column.name, "dataType": "text"}
    sizes = {"precision": column.precision, "scale": column.scale} if column.data_type == "decimal" else {}
    return {"name": column.name, "dataType": column.data_type, **sizes}
