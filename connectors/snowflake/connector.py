"""The connector `snowflake`: tables, views and queries of a Snowflake account."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.connectors.connector import Connector, Context, DatasetName, Found
from headrace.connectors.errors import SourceError
from headrace.connectors.snowflake.dialect import PUBLIC, SnowflakeDialect
from headrace.connectors.snowflake.names import folded, parts
from headrace.connectors.snowflake.session import Statement
from headrace.connectors.snowflake.settings import problems
from headrace.connectors.snowflake.source import SnowflakeSource
from headrace.connectors.source import StreamFound
from headrace.connectors.sql.settings import SqlSettings, keys_only

_SHOWN = 10
_SEEN = "SELECT CURRENT_VERSION(), CURRENT_ROLE(), CURRENT_WAREHOUSE(), CURRENT_DATABASE()"


def _open(context: Context) -> SnowflakeSource:
    return SnowflakeSource(context, SnowflakeDialect.of(context))


def _check(context: Context) -> Found:
    """Logs in as a run does, reads the current role, warehouse and database, lists some of the tables, and inspects the
    table or query in the settings, if any."""
    dialect = SnowflakeDialect.of(context)
    place = dialect.place
    try:
        version, role, warehouse, database = dialect.session.rows(Statement(_SEEN), "the session")[0]
        _is_there("warehouse", place.warehouse, warehouse)
        _is_there("database", place.database, database)
        if place.role is not None:
            _is_there("role", place.role, role)
        tables = dialect.streams("")
        message = (
            f"Snowflake {version}, account {place.account}, database {database}, warehouse {warehouse}, role {role}: "
            f"{len(tables):,} table{'' if len(tables) == 1 else 's'} can be seen"
        )
        if context.settings:
            found = SnowflakeSource(context, dialect).found()
            message += f"; {found.name} has {len(found.fields or ())} columns"
        return Found(message, {"tables": [each.name for each in tables[:_SHOWN]]})
    finally:
        dialect.close()


def _is_there(what: str, given: str, current: object) -> None:
    """Checks role, warehouse and database: a login succeeds even if one does not exist or may not be used."""
    if current is None or str(current) != folded(given):
        grant = f"GRANT USAGE ON {what.upper()} {given} TO the role"
        if what == "role":
            grant = f"GRANT ROLE {given} TO the user"
        raise SourceError(
            "not_permitted",
            f"There is no {what} {folded(given)}, or this login may not use it.",
            f"Check '{what}' in the connector's config, or {grant}.",
        )


def _dataset(context: Context) -> DatasetName:
    """The dataset's name by OpenLineage's rules: snowflake://{account}, {database}.{schema}.{table}."""
    config = context.connection.config
    account = str(config.get("account")).lower().partition(".snowflakecomputing.")[0]
    name = parts(str(context.settings.get("table") or "")) or ("query",)
    where = (folded(str(config.get("database"))), folded(str(config.get("schema") or PUBLIC)))
    if "query" in context.settings:
        return DatasetName(f"snowflake://{account}", ".".join([*where, "query"]))
    return DatasetName(f"snowflake://{account}", ".".join([*where[: 3 - len(name)], *name]))


def _streams(context: Context, text: str) -> Sequence[StreamFound]:
    dialect = SnowflakeDialect.of(context)
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


SNOWFLAKE = Connector(
    "snowflake",
    ("snowflake",),
    check=_check,
    open=_open,
    settings=SqlSettings,
    problems=problems,
    dataset=_dataset,
    streams=_streams,
    stream=_stream,
    keys=keys_only,
    stream_setting="table",
    extra="snowflake",
)
