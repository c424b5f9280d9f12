"""The connector `databricks`: tables, views and queries of a Databricks SQL warehouse."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.connectors.connector import Connector, Context, DatasetName, Found
from headrace.connectors.databricks import catalog
from headrace.connectors.databricks.dialect import DatabricksDialect
from headrace.connectors.databricks.names import parts
from headrace.connectors.source import StreamFound
from headrace.connectors.sql.settings import SqlSettings, keys_only, sql_problems
from headrace.connectors.sql.source import SqlSource

_SHOWN = 10


def _open(context: Context) -> SqlSource:
    return SqlSource(context, DatabricksDialect.of(context))


def _check(context: Context) -> Found:
    """Logs in as a run does, reads the current user, lists some of the tables, and inspects the table or query in the
    settings, if any."""
    dialect = DatabricksDialect.of(context)
    with dialect.session() as asked:
        user, where, schema = asked.rows(
            "SELECT current_user() AS u, current_catalog() AS c, current_schema() AS s", "the session"
        )[0]
        tables = catalog.streams(asked, "")
    message = (
        f"Databricks, catalog {where}, schema {schema}, as {user}: "
        f"{len(tables):,} table{'' if len(tables) == 1 else 's'} can be seen"
    )
    if context.settings:
        found = _stream(context)
        message += f"; {found.name} has {len(found.fields or ())} columns"
    return Found(message, {"tables": [each.name for each in tables[:_SHOWN]]})


def _dataset(context: Context) -> DatasetName:
    config = context.connection.config
    name = parts(str(context.settings.get("table") or "")) or ("query",)
    where = (str(config.get("catalog") or "main"), str(config.get("schema") or "default"))
    return DatasetName(f"databricks://{config.get('host')}", ".".join([*where[: 3 - len(name)], *name]))


def _streams(context: Context, text: str) -> Sequence[StreamFound]:
    return DatabricksDialect.of(context).streams(text)


def _stream(context: Context) -> StreamFound:
    return _open(context).found()


DATABRICKS = Connector(
    "databricks",
    ("databricks",),
    check=_check,
    open=_open,
    settings=SqlSettings,
    problems=sql_problems("databricks"),
    dataset=_dataset,
    streams=_streams,
    stream=_stream,
    keys=keys_only,
    extra="databricks",
)
