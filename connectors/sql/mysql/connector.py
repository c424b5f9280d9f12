"""The connector `mysql`: tables, views and queries of a MySQL or MariaDB database."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.connectors.connector import Connector, Context, DatasetName, Found
from headrace.connectors.source import StreamFound
from headrace.connectors.sql.mysql import catalog
from headrace.connectors.sql.mysql.dialect import MySqlDialect
from headrace.connectors.sql.mysql.login import CONNECT_SECONDS, access
from headrace.connectors.sql.mysql.session import session
from headrace.connectors.sql.relation import table_name
from headrace.connectors.sql.settings import SqlSettings, keys_only, sql_problems
from headrace.connectors.sql.source import SqlSource

_SHOWN = 10


def _open(context: Context) -> SqlSource:
    return SqlSource(context, MySqlDialect.of(context))


def _check(context: Context) -> Found:
    """Logs in as a run does, lists some of the visible tables, and inspects the table or query in the settings, if
    any."""
    way = access(context)
    with session(way, "the list of tables", seconds=CONNECT_SECONDS) as asked:
        found = catalog.streams(asked, "")
        wire = asked.wire
        system = f"{'MariaDB' if wire.is_mariadb else 'MySQL'} {wire.version_name}"
        encrypted = "TLS" if wire.encrypted else "not encrypted"
    count = len(found)
    tables = f"{count:,} table{'' if count == 1 else 's'}"
    message = f"{system}, database {way.place.database}, {encrypted}: {tables} can be read"
    if context.settings:
        stream = _stream(context)
        message += f"; {stream.name} has {len(stream.fields or ())} columns"
    return Found(message, {"tables": [each.name for each in found[:_SHOWN]]})


def _dataset(context: Context) -> DatasetName:
    config = context.connection.config
    namespace = f"mysql://{config.get('host')}:{config.get('port', 3306)}"
    parts = table_name(str(context.settings.get("table") or "")) or ("query",)
    if len(parts) == 1:
        parts = (str(config.get("database")), *parts)
    return DatasetName(namespace, ".".join(parts[-2:]))


def _streams(context: Context, text: str) -> Sequence[StreamFound]:
    return MySqlDialect.of(context).streams(text)


def _stream(context: Context) -> StreamFound:
    return _open(context).found()


MYSQL = Connector(
    "mysql",
    ("mysql",),
    check=_check,
    open=_open,
    settings=SqlSettings,
    problems=sql_problems("mysql"),
    dataset=_dataset,
    streams=_streams,
    stream=_stream,
    keys=keys_only,
    stream_setting="table",
    extra="mysql",
)
