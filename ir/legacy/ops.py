"""Converts the transforms of legacy nodes to ops of the IR: names of ops and of their fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NAMES: dict[str, tuple[str, ...]] = {
    "rename": ("rename_field", "rename_column", "rename_fields"),
    "cast": ("cast_type", "cast_field", "type_cast", "convert_type", "change_type"),
    "add_field": ("add_column", "add_constant", "constant", "constant_field", "default_value"),
    "drop": ("drop_field", "drop_fields", "drop_column", "drop_columns", "remove_field", "remove_fields"),
    "expression": ("compute", "computed", "computed_field", "calculated_field", "derive", "derived_field", "formula"),
    "filter": ("filter_rows", "filter_row", "where"),
    "hash": ("hash_field", "hash_fields"),
    "mask_pii": ("mask", "mask_field"),
    "map_values": ("map_value", "value_map", "value_mapping", "lookup_values"),
    "split": ("split_field", "split_column"),
    "merge": ("merge_fields", "concat", "concatenate", "concat_fields"),
    "deduplicate": ("dedupe", "dedup", "distinct", "remove_duplicates"),
    "aggregate": ("group_by", "aggregation"),
    "lookup_join": ("lookup",),
    "summarize": ("summary",),
    "vector_embed": ("embed", "embedding"),
    "geo_resolve": ("geo",),
    "sentiment_score": ("sentiment",),
    "language_detect": ("detect_language",),
    "sort": ("sort_rows", "order_by"),
    "pivot": (),
    "unpivot": ("melt",),
    "explode": ("explode_field", "flatten_array"),
    "fill_null": ("fill_nulls", "fill_na", "coalesce"),
    "trim": ("trim_field", "trim_whitespace"),
    "parse_json": ("json_parse",),
    "sql": ("custom_sql",),
}

OP_NAMES: dict[str, str] = {name: op for op, others in _NAMES.items() for name in (op, *others)}
"""Every legacy name of an op → the op."""

_FIELDS: dict[str, dict[str, tuple[str, ...]]] = {
    "rename": {
        "from": ("from", "source", "sourceField", "oldName", "oldField", "field", "column"),
        "to": ("to", "target", "targetField", "newName", "newField", "as", "alias"),
    },
    "cast": {
        "field": ("field", "column", "fieldName", "sourceField"),
        "to": ("to", "dataType", "targetType", "toType", "castTo"),
    },
    "add_field": {
        "field": ("field", "name", "column", "fieldName", "targetField"),
        "dataType": ("dataType", "fieldType"),
    },
    "drop": {"fields": ("fields", "columns", "field", "column")},
    "expression": {
        "field": ("field", "targetField", "target", "outputField", "name", "as", "column"),
        "expression": ("expression", "expr", "formula", "sql"),
    },
    "filter": {"expression": ("expression", "condition", "where", "predicate", "expr", "filter")},
    "hash": {"fields": ("fields", "columns", "field", "column"), "to": ("to", "targetField", "outputField")},
    "mask_pii": {"field": ("field", "column"), "strategy": ("strategy", "maskType", "method")},
    "map_values": {"field": ("field", "column"), "mapping": ("mapping", "map", "values"), "to": ("to", "targetField")},
    "split": {"field": ("field", "column"), "separator": ("separator", "delimiter"), "into": ("into", "targetFields")},
    "merge": {
        "fields": ("fields", "columns"),
        "to": ("to", "targetField", "outputField"),
        "separator": ("separator", "delimiter"),
    },
    "deduplicate": {
        "keys": ("keys", "fields", "columns", "keyFields", "field"),
        "keep": ("keep", "strategy"),
        "orderBy": ("orderBy", "sortBy"),
    },
    "aggregate": {
        "groupBy": ("groupBy", "groupByFields", "groupFields", "keys"),
        "aggregations": ("aggregations", "aggregates", "metrics", "measures"),
    },
    "summarize": {
        "fields": ("fields", "columns"),
        "groupBy": ("groupBy", "groupByFields"),
        "stats": ("stats", "statistics"),
    },
    "sort": {"by": ("by", "orderBy", "sortBy", "fields", "columns", "field", "column")},
    "pivot": {
        "groupBy": ("groupBy", "index", "indexFields"),
        "on": ("on", "pivotColumn", "pivotField", "columns"),
        "field": ("field", "valueField", "valueColumn"),
        "fn": ("fn", "aggregation", "aggregate"),
    },
    "unpivot": {
        "fields": ("fields", "columns", "valueFields"),
        "nameTo": ("nameTo", "nameField", "variableName"),
        "valueTo": ("valueTo", "valueField", "valueName"),
    },
    "explode": {
        "field": ("field", "column"),
        "to": ("to", "targetField", "outputField"),
        "separator": ("separator", "delimiter"),
    },
    "sql": {"query": ("query", "sql", "statement")},
    "lookup_join": {
        "table": ("table", "lookupTable", "schema", "tableName"),
        "on": ("on", "keys"),
        "select": ("select", "fields", "columns", "returnFields"),
    },
    "fill_null": {
        "fields": ("fields", "columns", "field", "column"),
        "value": ("value", "fillValue", "defaultValue", "default"),
    },
    "trim": {"fields": ("fields", "columns", "field", "column"), "characters": ("characters", "chars")},
    "parse_json": {"field": ("field", "column"), "into": ("into", "targetFields")},
    "vector_embed": {"field": ("field", "column"), "to": ("to", "targetField", "outputField")},
    "geo_resolve": {
        "lat": ("lat", "latitude", "latField", "latitudeField"),
        "lon": ("lon", "lng", "longitude", "lonField", "longitudeField"),
    },
    "sentiment_score": {"field": ("field", "column"), "to": ("to", "targetField", "outputField")},
    "language_detect": {"field": ("field", "column"), "to": ("to", "targetField", "outputField")},
}
"""Op → field of the op → its names in a legacy config, in order of preference."""

_LISTS = {
    *((op, "fields") for op in ("drop", "hash", "fill_null", "trim", "merge")),
    ("deduplicate", "keys"),
    ("lookup_join", "select"),
}

_AGGREGATION: dict[str, tuple[str, ...]] = {
    "field": ("field", "column", "sourceField"),
    "fn": ("fn", "function", "func", "operation", "aggregation", "type"),
    "as": ("as", "alias", "name", "outputField", "targetField", "to"),
}
"""Fields of one aggregation → the names they may have."""

_FUNCTIONS = {
    "avg": "mean",
    "average": "mean",
    "countdistinct": "count_distinct",
    "distinct": "count_distinct",
    "std": "stddev",
}

_DATA_TYPES = {
    "string": "text",
    "str": "text",
    "int": "integer",
    "int32": "integer",
    "int64": "bigint",
    "long": "bigint",
    "float": "double",
    "float64": "double",
    "number": "double",
    "numeric": "decimal",
    "bool": "boolean",
    "datetime": "timestamp",
    "jsonb": "json",
}

_TYPED = {"cast": ("dataType", "to"), "add_field": ("dataType", "to"), "explode": ("dataType",)}
"""Op → its fields that hold a data type."""

_OPERATORS = {
    **{sign: sign for sign in ("=", "<>", "<", "<=", ">", ">=")},
    **{"==": "=", "!=": "<>", "eq": "=", "ne": "<>", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="},
    **{"equals": "=", "not_equals": "<>", "greater_than": ">", "less_than": "<"},
}


def lower_op(config: Mapping[str, Any]) -> dict[str, Any]:
    """Converts a legacy transform `{type, …}` to an op. Unknown names are kept."""
    config = dict(config)
    given = config.pop("type", None)
    op = OP_NAMES.get(plain_name(given), given) if isinstance(given, str) else given
    if op == "filter" and isinstance(config.get("operator"), str) and "field" in config:
        config = {"expression": _comparison(config)} | {
            key: value for key, value in config.items() if key not in ("field", "operator", "value")
        }
    lowered: dict[str, Any] = {"type": op} if op is not None else {}
    for field, names in _FIELDS.get(str(op), {}).items():
        values = [config.pop(name) for name in names if name in config]
        if not values:
            continue
        value = values[0]
        lowered[field] = [value] if (op, field) in _LISTS and isinstance(value, str) else value
    lowered |= config
    if op == "aggregate" and isinstance(lowered.get("aggregations"), list):
        lowered["aggregations"] = [_aggregation(each) for each in lowered["aggregations"]]
    for field in _TYPED.get(str(op), ()):
        if isinstance(lowered.get(field), str):
            lowered[field] = _DATA_TYPES.get(lowered[field].lower(), lowered[field].lower())
    return lowered


def _aggregation(config: Any) -> Any:
    """Converts `{column, function, alias}` to `{field, fn, as}`."""
    if not isinstance(config, Mapping):
        return config
    rest = dict(config)
    lowered: dict[str, Any] = {}
    for field, names in _AGGREGATION.items():
        values = [rest.pop(name) for name in names if name in rest]
        if values:
            lowered[field] = values[0]
    if isinstance(lowered.get("fn"), str):
        plain = plain_name(lowered["fn"])
        lowered["fn"] = _FUNCTIONS.get(plain.replace("_", ""), plain)
    return lowered | rest


def _comparison(config: Mapping[str, Any]) -> str:
    """Converts `{field, operator, value}` to a SQL condition."""
    name = '"' + str(config["field"]).replace('"', '""') + '"'
    operator = str(config["operator"]).lower()
    value = config.get("value")
    if operator in ("is_null", "is_not_null"):
        return f"{name} IS {'NOT ' if operator == 'is_not_null' else ''}NULL"
    if operator in ("in", "not_in") and isinstance(value, list):
        return f"{name} {'NOT ' if operator == 'not_in' else ''}IN ({', '.join(_literal(each) for each in value)})"
    return f"{name} {_OPERATORS.get(operator, operator)} {_literal(value)}"


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def plain_name(name: str) -> str:
    """Returns a name in snake case: `RenameField` and `rename-field` become `rename_field`."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")
