"""The `config` of a source node that reads a database."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from headrace.connectors.column_names import match_names
from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.settings import PARAMETER
from headrace.connectors.specs.base import ClosedConfig, problems_of
from headrace.connectors.sql.query_validation import validated
from headrace.connectors.sql.relation import Relation, table_name
from headrace.ir.problems import Problem, fault

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Value = str | int | float | bool | None

_ISO = re.compile(
    r"P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d{1,6})?)S)?)?"
)


def lag_of(text: str | int | float) -> Decimal | timedelta:
    """Parses a lag: an ISO 8601 duration without years and months (`PT5M`, `P1DT2H`), or a number. Raises
    ValueError."""
    written = str(text).strip()
    found = _ISO.fullmatch(written)
    if found is not None and any(found.groups()):
        return timedelta(**{name: float(value) for name, value in found.groupdict("0").items()})
    try:
        number = Decimal(written)
    except InvalidOperation:
        raise ValueError(written) from None
    if not number.is_finite() or number < 0:
        raise ValueError(written)
    return number


def checked_lag(value: str | int | float | None) -> str | int | float | None:
    if value is None or PARAMETER.search(str(value)):
        return value
    try:
        lag_of(value)
    except ValueError:
        raise fault(
            "bad_lag",
            f"'{value}' is not a lag",
            "write a duration such as PT5M or P1D, or a number (seconds for times)",
        ) from None
    return value


def _table(text: str) -> str:
    if not PARAMETER.search(text) and table_name(text) is None:
        raise fault(
            "bad_table", f"'{text}' is not a table name", 'write schema.table; quote a name with a point: "a.b"'
        )
    return text


class CursorSettings(ClosedConfig):
    """The column by which a run continues where the last one ended."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    column: Name
    """It grows with every added or changed row: `updated_at`, `id`. Rows in which it is null are not read."""
    initial: Value = None
    """The value from which the first run reads; by default all rows are read."""
    lag: Annotated[str | int | float | None, AfterValidator(checked_lag)] = None
    """How far a run lags behind the present, so that transactions that are still open are not passed over: a duration
    (`PT5M`) or seconds for times, a number for numbers."""
    key: list[Name] | None = None
    """Columns that distinguish rows of the same cursor value; the source's `key` without it. `[]` says that no two rows
    have the same value."""


class PartitioningSettings(ClosedConfig):
    """How rows are split into partitions."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    by: Literal["auto", "key", "ctid", "none"] = "auto"
    """`key`: ranges of a column, from the server's statistics. `ctid`: ranges of pages, PostgreSQL only. `auto`: the
    key if there is one, else pages if the system has them, else one partition."""
    column: Name | None = None
    """The column that is split into ranges; by default the first of the key."""
    partitions: int | None = Field(default=None, ge=1, le=1000)
    """The most partitions; by default chosen by the run's parallelism and the table's size."""


class SqlSettings(ClosedConfig):
    """The source config of a database."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    table: Annotated[str, StringConstraints(min_length=1, max_length=400), AfterValidator(_table)] | None = None
    """A table or a view: `schema.table`."""
    query: Annotated[str, StringConstraints(min_length=1, max_length=100_000)] | None = None
    """Instead of a table: one SELECT, WITH, VALUES or TABLE statement, executed in a read-only transaction."""
    parameters: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Value] = {}
    """Values for the query's parameters (`:name`). They are bound, never inserted as text; run parameters go here:
    `{"since": "{{since}}"}`."""
    columns: list[Name] | None = None
    """The columns to read, in this order; by default all."""
    key: list[Name] | None = None
    """The columns that identify a row and are never null, for a view or a query: interrupted reading can then continue.
    By default the primary key."""
    cursor: CursorSettings | None = None
    """Reads only what is new since the last run."""
    partitioning: PartitioningSettings | None = None
    """How it is split; automatic by default."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=604_800)
    """The time limit of one statement on the server; six hours by default."""

    @model_validator(mode="after")
    def _one(self) -> SqlSettings:
        if (self.table is None) == (self.query is None):
            raise fault("missing_field", "either 'table' or 'query' is required", "add one of the two")
        if self.parameters and self.query is None:
            raise fault("bad_option", "'parameters' are for a query", "remove them")
        for names, where in ((self.columns, "columns"), (self.key, "key")):
            if names is not None and (not names or len(set(names)) < len(names)):
                raise fault("bad_option", f"'{where}' must name at least one column, and none twice", "")
        return self

    @property
    def partitions(self) -> PartitioningSettings:
        """The split settings, with defaults."""
        return self.partitioning or PartitioningSettings()


def keys_only(settings: Mapping[str, Any], columns: Sequence[str]) -> Mapping[str, Any]:
    """The same relation without its cursor, and only these columns of it: `Connector.keys`. One partition, so that one
    statement sees all keys at one moment."""
    kept = {name: value for name, value in settings.items() if name != "cursor"}
    return {**kept, "columns": list(columns), "partitioning": {"by": "none"}}


S = TypeVar("S", bound=SqlSettings)


def settings_of(config: Mapping[str, Any]) -> SqlSettings:
    """A node's config, with the run's parameters filled in. Raises SourceError(`bad_option`)."""
    return settings_as(SqlSettings, config)


def settings_as(model: type[S], config: Mapping[str, Any]) -> S:
    """The same for a system with additional settings."""
    try:
        return model.model_validate(dict(config))
    except ValidationError:
        problems = problems_of(model, dict(config))
        first = problems[0]
        raise SourceError("bad_option", f"{first.path}: {first.message}.", first.hint) from None


def named_as_there(settings: S, relation: Relation) -> S:
    """The settings with the relation's spelling of the cursor's and the key's columns: `id` becomes ID if there is no
    `id`. Unknown names stay unchanged."""

    def there(names: Sequence[str] | None) -> list[str] | None:
        if names is None:
            return None
        columns = [column.name for column in relation.columns]
        places = match_names(names, columns)
        return [columns[places[name]] if name in places else name for name in names]

    cursor = settings.cursor
    if cursor is not None:
        [column] = there([cursor.column]) or [cursor.column]
        cursor = cursor.model_copy(update={"column": column, "key": there(cursor.key)})
    return settings.model_copy(update={"key": there(settings.key), "cursor": cursor})


def sql_problems(dialect: str, model: type[SqlSettings] = SqlSettings) -> Callable[[Mapping[str, Any]], list[Problem]]:
    """The problems of a config, checked when it is saved; `dialect` is sqlglot's name of the system."""

    def problems(config: Mapping[str, Any]) -> list[Problem]:
        found = [each for each in problems_of(model, _evaluable(config)) if not PARAMETER.search(each.message)]
        query = config.get("query")
        if isinstance(query, str) and not found:
            try:
                validated(query, dialect, list(config.get("parameters") or {}))
            except SourceError as error:
                found.append(Problem("config.query", error.code, error.message.removesuffix("."), error.hint))
        return found

    return problems


_NUMBERS = ("timeoutSeconds", "maximumBytesBilled")


def _evaluable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers may be replaced by run parameters."""
    known = {name: value for name, value in config.items() if name not in _NUMBERS or not _open(value)}
    split = known.get("partitioning")
    if isinstance(split, Mapping):
        known["partitioning"] = {name: value for name, value in split.items() if not _open(value)}
    return known


def _open(value: object) -> bool:
    return isinstance(value, str) and PARAMETER.search(value) is not None
