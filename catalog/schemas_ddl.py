"""The DDL of a schema: field definitions → `CREATE TABLE public.ds_<name>`, validated and quoted.

Table names: the tenant `default` gets `ds_<name>`, any other tenant `ds_<name>_<8 hex digits of its id's hash>`. The
rule depends on nothing but the tenant and the name, so two tenants with the same schema name neither collide nor learn
of each other. A name that is taken all the same (a table of the user's own) is a conflict.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, text

from ir.datatypes import DATA_TYPES
from ir.problems import Problem, nearest

LOAD_ID_COLUMN = "_headrace_load_id"
TABLE_SCHEMA = "public"
MAX_IDENTIFIER_BYTES = 63
MAX_FIELDS = 1500
"""PostgreSQL takes 1,600 columns at most, fewer when they are wide."""

_DEFAULT_TENANT = "default"
_COLUMN = re.compile(r"[^\W\d]\w*")
_SYSTEM_COLUMNS = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
_DEFAULT_FUNCTIONS = {"now()", "current_timestamp", "current_date", "current_time", "gen_random_uuid()"}
_MAX_VARCHAR = 10_485_760
_MAX_PRECISION = 1000


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """One column as asked for. `length` belongs to varchar, `precision` and `scale` to decimal."""

    name: str
    display_name: str
    data_type: str
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    is_nullable: bool = True
    is_primary_key: bool = False
    is_unique: bool = False
    is_predictor: bool = False
    default_value: str | None = None
    description: str = ""


def sanitised(name: str) -> str:
    """A schema name in lower-case letters, digits and underscores; empty when nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def table_name(tenant_id: str, name: str) -> str:
    """The table of a tenant's schema; see the rule at the top of this module."""
    if tenant_id == _DEFAULT_TENANT:
        return f"ds_{name}"
    return f"ds_{name}_{hashlib.sha256(tenant_id.encode()).hexdigest()[:8]}"


def definition_problems(table: str, fields: Sequence[FieldDefinition]) -> list[Problem]:
    """Everything that forbids the table, all at once; empty when it can be created."""
    problems = []
    if len(table.encode()) > MAX_IDENTIFIER_BYTES:
        too_long = f"The table's name '{table}' is longer than {MAX_IDENTIFIER_BYTES} bytes"
        problems.append(Problem("name", "too_long", too_long, "choose a shorter name"))
    if len(fields) > MAX_FIELDS:
        problems.append(Problem("fields", "too_many", f"More than {MAX_FIELDS} fields"))
    seen: set[str] = set()
    for index, field in enumerate(fields):
        problems += field_problems(field, f"fields[{index}].", seen)
        seen.add(field.name.lower())
    return problems


def field_problems(field: FieldDefinition, path: str = "", taken: Collection[str] = ()) -> list[Problem]:
    """Everything that forbids one column; `taken` are lower-case names of others, `path` is put before the places."""
    return [*_name_problems(f"{path}name", field.name, taken), *_type_problems(path, field)]


def _name_problems(path: str, name: str, seen: Collection[str]) -> list[Problem]:
    if not _COLUMN.fullmatch(name):
        hint = "letters, digits and underscores, not starting with a digit"
        return [Problem(path, "invalid_name", f"'{name}' is not a column name", hint)]
    if len(name.encode()) > MAX_IDENTIFIER_BYTES:
        return [Problem(path, "too_long", f"'{name}' is longer than {MAX_IDENTIFIER_BYTES} bytes")]
    if name.lower() in _SYSTEM_COLUMNS or name.lower().startswith("_headrace"):
        return [Problem(path, "reserved_name", f"'{name}' is reserved", "choose another name")]
    if name.lower() in seen:
        return [Problem(path, "duplicate_name", f"There are two fields named '{name}'")]
    return []


def _type_problems(path: str, field: FieldDefinition) -> list[Problem]:
    kind = field.data_type
    if kind not in DATA_TYPES:
        return [Problem(f"{path}dataType", "unknown_type", f"Unknown data type '{kind}'", nearest(kind, DATA_TYPES))]
    problems = []
    for name, value, owner, smallest, largest in (
        ("length", field.length, "varchar", 1, _MAX_VARCHAR),
        ("precision", field.precision, "decimal", 1, _MAX_PRECISION),
        ("scale", field.scale, "decimal", 0, field.precision or 0),
    ):
        if value is None:
            continue
        if kind != owner:
            only = f"'{name}' belongs to {owner}, not to {kind}"
            problems.append(Problem(f"{path}{name}", "not_allowed", only))
        elif not smallest <= value <= largest:
            between = f"'{name}' must be between {smallest} and {largest}"
            problems.append(Problem(f"{path}{name}", "out_of_range", between))
    return problems


def create_table(connection: Connection, table: str, fields: Sequence[FieldDefinition]) -> None:
    """Creates `public.<table>` in the connection's transaction.

    Without a primary key among the fields there is a generated `id`, unless a field has that name. The fields must have
    no `definition_problems`. Raises SQLAlchemy's ProgrammingError when the table exists, DataError for a bad default.
    """
    columns: list[sql.Composable] = [column_clause(field) for field in fields]
    keys = [sql.Identifier(field.name) for field in fields if field.is_primary_key]
    if keys:
        columns.append(sql.SQL("PRIMARY KEY ({})").format(sql.SQL(", ").join(keys)))
    elif all(field.name.lower() != "id" for field in fields):
        columns.insert(0, sql.SQL("id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"))
    columns.append(sql.SQL("{} bigint").format(sql.Identifier(LOAD_ID_COLUMN)))
    statement = sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(TABLE_SCHEMA, table), sql.SQL(", ").join(columns))
    connection.exec_driver_sql(statement.as_string().replace("%", "%%"))


def table_exists(connection: Connection, table: str) -> bool:
    """Whether `public` has a relation of that name, whoever made it."""
    found = connection.execute(text("SELECT to_regclass(:name)"), {"name": f'{TABLE_SCHEMA}."{table}"'})
    return found.scalar() is not None


def column_clause(field: FieldDefinition) -> sql.Composed:
    """A column in `CREATE TABLE` or `ADD COLUMN`."""
    parts: list[sql.Composable] = [sql.Identifier(field.name), sql.SQL(type_clause(field))]
    if field.default_value is not None:
        parts.append(default_clause(field))
    if not field.is_nullable:
        parts.append(sql.SQL("NOT NULL"))
    if field.is_unique and not field.is_primary_key:
        parts.append(sql.SQL("UNIQUE"))
    return sql.SQL(" ").join(parts)


def type_clause(field: FieldDefinition) -> str:
    """The PostgreSQL type of a field, with its size."""
    return _TYPES[field.data_type](field)


def default_clause(field: FieldDefinition) -> sql.Composed:
    """`DEFAULT …` of a field that has one: one of a few functions, else a literal."""
    value = field.default_value or ""
    if value.strip().lower() in _DEFAULT_FUNCTIONS:
        return sql.SQL("DEFAULT {}").format(sql.SQL(value.strip().lower()))
    return sql.SQL("DEFAULT {}").format(sql.Literal(value))


def _sized(name: str, *sizes: int | None) -> str:
    given = [str(size) for size in sizes if size is not None]
    return f"{name}({', '.join(given)})" if given else name


_TYPES: dict[str, Callable[[Any], str]] = {
    "text": lambda _: "text",
    "varchar": lambda field: _sized("varchar", field.length),
    "smallint": lambda _: "smallint",
    "integer": lambda _: "integer",
    "bigint": lambda _: "bigint",
    "decimal": lambda field: _sized("numeric", field.precision, field.scale),
    "double": lambda _: "double precision",
    "boolean": lambda _: "boolean",
    "date": lambda _: "date",
    "time": lambda _: "time",
    "timestamp": lambda _: "timestamp",
    "timestamptz": lambda _: "timestamptz",
    "json": lambda _: "jsonb",
    "uuid": lambda _: "uuid",
}
"""Data type → PostgreSQL type."""
