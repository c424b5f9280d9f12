"""The connector `bigquery`: tables, views and queries of Google BigQuery."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.connectors.bigquery.dialect import BigQueryDialect
from headrace.connectors.bigquery.names import parts
from headrace.connectors.bigquery.settings import BigQuerySettings, problems
from headrace.connectors.bigquery.source import BigQuerySource
from headrace.connectors.connector import Connector, Context, DatasetName, Found
from headrace.connectors.source import StreamFound
from headrace.connectors.sql.settings import keys_only

_SHOWN = 10


def _open(context: Context) -> BigQuerySource:
    return BigQuerySource(context, BigQueryDialect.of(context))


def _check(context: Context) -> Found:
    """Logs in as a run does, lists some of the dataset's tables, creates a session of one of them without reading, and
    inspects the table or query in the settings, if any."""
    dialect = BigQueryDialect.of(context)
    place = dialect.place
    try:
        tables = dialect.streams("")
        message = (
            f"BigQuery, project {place.project}, dataset {place.dataset}: "
            f"{len(tables):,} table{'' if len(tables) == 1 else 's'} can be seen"
        )
        if context.settings:
            source = BigQuerySource(context, dialect)
            found = source.found()
            message += f"; {found.name} has {len(found.fields or ())} columns"
            if found.kind in ("table", "snapshot"):
                source.discover(max_partitions=1)
                message += " and can be read"
        return Found(message, {"tables": [each.name for each in tables[:_SHOWN]]})
    finally:
        dialect.close()


def _dataset(context: Context) -> DatasetName:
    """The dataset's name by OpenLineage's rules: bigquery, {project}.{dataset}.{table}."""
    config = context.connection.config
    where = (str(config.get("project")), str(config.get("dataset")))
    name = parts(str(context.settings.get("table") or "")) or ("query",)
    return DatasetName("bigquery", ".".join([*where[: 3 - len(name)], *name]))


def _streams(context: Context, text: str) -> Sequence[StreamFound]:
    dialect = BigQueryDialect.of(context)
    try:
        return dialect.streams(text)
    finally:
        dialect.close()


def _stream(context: Context) -> StreamFound:
    source = _open(context)
    try:
        return source.found()
    finally:
        source.close()


BIGQUERY = Connector(
    "bigquery",
    ("bigquery",),
    check=_check,
    open=_open,
    settings=BigQuerySettings,
    problems=problems,
    dataset=_dataset,
    streams=_streams,
    stream=_stream,
    keys=keys_only,
    extra="bigquery",
)
