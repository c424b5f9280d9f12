"""The connector `redshift`: tables, views and queries of a cluster or a workgroup."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.connectors.connector import Connector, Context, DatasetName, Found
from headrace.connectors.redshift import catalog
from headrace.connectors.redshift.dialect import RedshiftDialect
from headrace.connectors.redshift.session import session
from headrace.connectors.redshift.settings import RedshiftSettings, problems
from headrace.connectors.redshift.source import RedshiftSource
from headrace.connectors.source import StreamFound
from headrace.connectors.sql.postgresql.login import CONNECT_SECONDS
from headrace.connectors.sql.relation import table_name
from headrace.connectors.sql.settings import keys_only

_SHOWN = 10


def _open(context: Context) -> RedshiftSource:
    return RedshiftSource(context, RedshiftDialect.of(context))


def _check(context: Context) -> Found:
    """Logs in as a run does, lists some of the tables, and inspects the table or query in the settings, if any."""
    dialect = RedshiftDialect.of(context)
    place = dialect.access.place
    with session(dialect.access, "the list of tables", seconds=CONNECT_SECONDS) as asked:
        tables = catalog.streams(asked, "")
        encrypted = "TLS" if asked.encrypted else "not encrypted"
    count = len(tables)
    message = (
        f"Redshift, database {place.database}, {encrypted}: {count:,} table{'' if count == 1 else 's'} can be seen"
    )
    if context.settings:
        found = _stream(context)
        message += f"; {found.name} has {len(found.fields or ())} columns"
    return Found(message, {"tables": [each.name for each in tables[:_SHOWN]]})


def _dataset(context: Context) -> DatasetName:
    """The dataset's name by OpenLineage's rules: redshift://{cluster}.{region}:{port}, {database}.{schema}.{table}."""
    config = context.connection.config
    cluster, region = [*str(config.get("host")).split("."), "", "", ""][0:3:2]
    at = f"{cluster}.{region}" if "redshift" in str(config.get("host")) and region else str(config.get("host"))
    parts = table_name(str(context.settings.get("table") or "")) or ("query",)
    if len(parts) == 1 and "query" not in context.settings:
        parts = (str(config.get("schema") or "public"), *parts)
    return DatasetName(
        f"redshift://{at}:{config.get('port', 5439)}", ".".join([str(config.get("database")), *parts[-2:]])
    )


def _streams(context: Context, text: str) -> Sequence[StreamFound]:
    return RedshiftDialect.of(context).streams(text)


def _stream(context: Context) -> StreamFound:
    return _open(context).found()


REDSHIFT = Connector(
    "redshift",
    ("redshift",),
    check=_check,
    open=_open,
    settings=RedshiftSettings,
    problems=problems,
    dataset=_dataset,
    streams=_streams,
    stream=_stream,
    keys=keys_only,
    stream_setting="table",
    extra="redshift",
)
