"""What datasets and jobs are called, by OpenLineage's naming rules. No name holds a credential."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from openlineage.client.naming.dataset import LocalFileSystem, Postgres
from psycopg.conninfo import conninfo_to_dict

from connectors.postgresql.tables import split_name
from flows.runtime.job import Job
from ir.nodes import SourceNode


class DatasetName(NamedTuple):
    """A dataset: the namespace is the system it is in."""

    namespace: str
    name: str


def source_name(node: SourceNode, job: Job) -> DatasetName:
    """What a source reads, the same in every run: a folder with its pattern, not the files that are there today."""
    return NAMES.get(node.connector, _unnamed)(node, job)


def table_name(table: str, database_url: str) -> DatasetName:
    """A table of the database at a libpq URL. One that is reached by a socket is on `localhost`."""
    parts = {name: str(value) for name, value in conninfo_to_dict(database_url).items() if value}
    host, port = parts.get("host", "").split(",")[0], parts.get("port", "").split(",")[0]
    if not host or host.startswith("/"):
        host = "localhost"
    schema, name = split_name(table)
    database = parts.get("dbname") or parts.get("user", "postgres")
    place = Postgres(f"[{host}]" if ":" in host else host, port or "5432", database, schema, name)
    return DatasetName(place.get_namespace(), place.get_name())


def run_uuid(run_id: str) -> str:
    """A run as a UUID: that of its Prefect flow run, which its id is made of."""
    try:
        return str(UUID(run_id.removeprefix("run_")))
    except ValueError:
        return str(uuid5(NAMESPACE_URL, run_id))


def _file(node: SourceNode, job: Job) -> DatasetName:
    folder = PurePath(str(job.pipeline.connector.config.get("basePath") or ""), str(node.config.get("path") or ""))
    pattern: Any = node.config.get("pattern") or {}
    value = str(pattern.get("value") or "") if isinstance(pattern, dict) else str(pattern)
    place = LocalFileSystem(os.path.normpath(job.files_root.absolute() / folder / value))
    return DatasetName(place.get_namespace(), place.get_name())


def _unnamed(node: SourceNode, job: Job) -> DatasetName:
    told = next(
        (node.config[key] for key in ("path", "table", "topic", "streamName", "resource") if key in node.config),
        node.id,
    )
    return DatasetName(node.connector, f"{job.pipeline.connector.id}/{told}")


NAMES: dict[str, Callable[[SourceNode, Job], DatasetName]] = {"local_fs": _file}
"""By connector. What is not here is named by the connector's record and what is read of it."""
