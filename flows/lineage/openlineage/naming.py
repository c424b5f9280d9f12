"""Names of datasets and runs, by OpenLineage's naming rules. No name holds a credential."""

from __future__ import annotations

from uuid import NAMESPACE_URL, UUID, uuid5

from openlineage.client.naming.dataset import Postgres
from psycopg.conninfo import conninfo_to_dict

from headrace.connectors.connector import DatasetName
from headrace.connectors.postgresql.connections import Database
from headrace.connectors.postgresql.named_database import NamedDatabase
from headrace.connectors.postgresql.tables.describe import split_name
from headrace.connectors.registry import reader
from headrace.flows.runtime.input.sources import context_of
from headrace.flows.runtime.job import Job
from headrace.ir.nodes import SourceNode


def source_name(node: SourceNode, job: Job) -> DatasetName:
    """The dataset of a source, the same in every run: a folder with its pattern, not its current files."""
    found = reader(node.connector)
    if found is None or found.dataset is None:
        return _unnamed(node, job)
    return found.dataset(context_of(node, job))


def table_name(table: str, database: Database) -> DatasetName:
    """The dataset of a table of a database. A database at a socket is on `localhost`."""
    if isinstance(database, NamedDatabase):
        where = database.access.place
        return _postgres(where.host, str(where.port), where.database, table)
    assert isinstance(database, str), "there is no third kind"
    parts = {name: str(value) for name, value in conninfo_to_dict(database).items() if value}
    host, port = parts.get("host", "").split(",")[0], parts.get("port", "").split(",")[0]
    if not host or host.startswith("/"):
        host = "localhost"
    return _postgres(host, port or "5432", parts.get("dbname") or parts.get("user", "postgres"), table)


def _postgres(host: str, port: str, database: str, table: str) -> DatasetName:
    schema, name = split_name(table)
    place = Postgres(f"[{host}]" if ":" in host else host, port, database, schema, name)
    return DatasetName(place.get_namespace(), place.get_name())


def run_uuid(run_id: str) -> str:
    """The UUID of a run: that of its Prefect flow run, if its id is made of one."""
    try:
        return str(UUID(run_id.removeprefix("run_")))
    except ValueError:
        return str(uuid5(NAMESPACE_URL, run_id))


def _unnamed(node: SourceNode, job: Job) -> DatasetName:
    name = next(
        (node.config[key] for key in ("path", "table", "topic", "streamName", "resource") if key in node.config),
        node.id,
    )
    return DatasetName(node.connector, f"{job.pipeline.connection(node.connection).id}/{name}")
