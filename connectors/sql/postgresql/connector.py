"""The connector `postgresql`: tables, views and queries of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from headrace.connectors.connector import Connector, Context, DatasetName, Found
from headrace.connectors.source import Source, StreamFound
from headrace.connectors.sql.postgresql.changes import slots
from headrace.connectors.sql.postgresql.changes.names import base_name
from headrace.connectors.sql.postgresql.changes.settings import PostgresSettings, continues, keeps, plain_keys
from headrace.connectors.sql.postgresql.changes.source import ChangeSource
from headrace.connectors.sql.postgresql.dialect import PostgresDialect
from headrace.connectors.sql.postgresql.login import CONNECT_SECONDS, access
from headrace.connectors.sql.postgresql.session import session
from headrace.connectors.sql.relation import table_name
from headrace.connectors.sql.settings import settings_as, sql_problems
from headrace.connectors.sql.source import SqlSource

_SHOWN = 10

_TABLES = """
SELECT n.nspname::text, c.relname::text, count(*) OVER () FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
ORDER BY 1, 2 LIMIT %s
"""


def _open(context: Context) -> Source:
    settings = settings_as(PostgresSettings, context.settings)
    if settings.changes is not None:
        return ChangeSource(context)
    return SqlSource(context, PostgresDialect.of(context), settings=settings)


def _check(context: Context) -> Found:
    """Logs in as a run does, lists some of the readable tables, and inspects the table or query in the settings, if
    any."""
    way = access(context)
    with session(way, "the list of tables", seconds=CONNECT_SECONDS) as asked:
        rows = asked.rows(_TABLES, (_SHOWN,))
        changes, kept = slots.ability(asked)
        encrypted = "TLS" if asked.encrypted else "not encrypted"
        version = asked.version_name
    count = rows[0][2] if rows else 0
    tables = f"{count:,} table{'' if count == 1 else 's'}"
    message = f"PostgreSQL {version}, database {way.place.database}, {encrypted}: {tables} can be read; {changes}"
    if context.settings:
        found = _stream(context)
        message += f"; {found.name} has {len(found.fields or ())} columns"
    sample: dict[str, Any] = {"tables": [f"{schema}.{table}" for schema, table, _ in rows]}
    if kept:
        sample["slots"] = [asdict(each) for each in kept]
    return Found(message, sample)


def _dataset(context: Context) -> DatasetName:
    config = context.connection.config
    namespace = f"postgres://{config.get('host')}:{config.get('port', 5432)}"
    parts = table_name(str(context.settings.get("table") or "")) or ("query",)
    if len(parts) == 1 and "query" not in context.settings:
        parts = (str(config.get("schema") or "public"), *parts)
    return DatasetName(namespace, ".".join([str(config.get("database")), *parts[-2:]]))


def _streams(context: Context, text: str) -> Sequence[StreamFound]:
    return PostgresDialect.of(context).streams(text)


def _stream(context: Context) -> StreamFound:
    plain = {name: value for name, value in context.settings.items() if name != "changes"}
    return SqlSource(replace(context, settings=plain), PostgresDialect.of(context)).found()


def _forget(context: Context) -> Sequence[str]:
    """Drops the replication slots of a source node, and their publications."""
    reader = context.reader
    assert reader is not None, "slots are those of a pipeline"
    with slots.changes_session(access(context), "the list of replication slots", CONNECT_SECONDS) as asked:
        found = slots.kept_slots(asked, base_name(reader.pipeline, reader.node))
        for each in found:
            slots.drop_slot(asked, each.name)
    return [each.name for each in found]


POSTGRESQL = Connector(
    "postgresql",
    ("postgresql",),
    check=_check,
    open=_open,
    settings=PostgresSettings,
    problems=sql_problems("postgres", PostgresSettings),
    continues=continues,
    dataset=_dataset,
    streams=_streams,
    stream=_stream,
    keys=plain_keys,
    keeps=keeps,
    forget=_forget,
    stream_setting="table",
)
