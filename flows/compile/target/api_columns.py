"""Targets that are APIs: the columns that they take, and the problems of their nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import polars as pl

from headrace.connectors.api_targets import API_TARGETS
from headrace.connectors.errors import TargetError
from headrace.connectors.http.target.template import FieldPlace
from headrace.flows.compile.target.schema_contract import TargetColumn
from headrace.ir import PipelineIR, Problem
from headrace.ir.nodes import TargetNode, ValidateNode, producer
from headrace.ir.problems import nearest
from headrace.ir.schema import DataType, Field

LOAD_MODES = ("append", "upsert")
"""The load modes of APIs: all rows, or those whose record has changed."""

_WIDER: dict[DataType, Callable[[pl.DataType], bool]] = {
    "decimal": lambda have: have.is_decimal() or have.is_integer(),
    "double": lambda have: have.is_float(),
    "bigint": lambda have: have.is_integer(),
    "json": lambda have: have.is_nested(),
}
"""Types of a column that are sent as they are where the template has this type."""


def api_columns(node: TargetNode) -> list[TargetColumn]:
    """The columns of a target with a `connector`. Raises TargetError for an invalid config."""
    assert node.connector is not None
    fields = API_TARGETS[node.connector].settings_of(node.config).fields
    return [_column(place) for place in fields.values()]


def known_api_columns(ir: PipelineIR) -> dict[str, list[TargetColumn]]:
    """The columns of all API targets with a valid config, by node."""
    found = {}
    for node in ir.nodes:
        if isinstance(node, TargetNode) and node.connector is not None:
            try:
                found[node.id] = api_columns(node)
            except TargetError:
                continue  # reported by `api_target_problems`
    return found


def api_target_problems(ir: PipelineIR) -> Iterator[Problem]:
    """The problems of targets with a `connector`: their configs, and settings that are only for tables."""
    for index, node in enumerate(ir.nodes):
        if isinstance(node, TargetNode) and node.connector is not None:
            path = f"nodes[{index}]"
            for each in API_TARGETS[node.connector].problems(node.config):
                yield replace(each, path=f"{path}.{each.path}")
            yield from (replace(each, path=f"{path}.{each.path}") for each in _of_tables(node))
            yield from (replace(each, path=f"{path}.{each.path}") for each in _of_rules(ir, node))


def _of_tables(node: TargetNode) -> Iterator[Problem]:
    if node.load_mode not in LOAD_MODES:
        text = f"loadMode {node.load_mode} is for tables: rows are sent to an API by {' or '.join(LOAD_MODES)}"
        yield Problem("loadMode", "bad_option", text, "append sends all rows, upsert those that have changed")
    if node.schema_contract == "evolve":
        text = "An API gets the columns that its config names: schemaContract evolve is for tables"
        yield Problem("schemaContract", "bad_option", text, "name the columns in config")
    given = {
        "preHook": node.pre_hook,
        "postHook": node.post_hook,
        "backupBeforeLoad": node.backup_before_load,
        "allowEmpty": node.allow_empty,
        "deletes": node.deletes,
        "watermarkColumn": node.watermark_column,
    }
    for name, value in given.items():
        if value:
            yield Problem(name, "bad_option", f"'{name}' is for tables", "remove it")
    try:
        names = [column.field.name for column in api_columns(node)]
    except TargetError:
        return
    for column in node.upsert_key:
        if column not in names:
            text = f"'{column}' is not among the columns that are sent"
            yield Problem("upsertKey", "unknown_column", text, nearest(column, names))
    if node.upsert_key and node.load_mode == "append":
        yield Problem("upsertKey", "bad_option", "loadMode append sends all rows", "remove it, or use upsert")


def _of_rules(ir: PipelineIR, target: TargetNode) -> Iterator[Problem]:
    """Dataset rules abort before rows are visible, and rows that are sent cannot be held back."""
    pending, seen = [producer(reference) for reference in target.inputs], set[str]()
    by_id = {node.id: node for node in ir.nodes}
    while pending:
        if (name := pending.pop()) in seen or name not in by_id:
            continue
        seen.add(name)
        node = by_id[name]
        pending += [producer(reference) for reference in node.inputs]
        if isinstance(node, ValidateNode) and any(rule.on_fail == "abort" for _, rule in node.dataset_level):
            text = f"'{name}' has a dataset rule with onFail abort, but rows that are sent cannot be held back"
            yield Problem("input", "bad_option", text, "use onFail warn, or load into a table and send its rows")


def _column(place: FieldPlace) -> TargetColumn:
    if place.type is None:
        return TargetColumn(Field(place.field, "text"), required=True, takes=lambda have: True)
    field = Field(place.field, place.type, place.precision, place.scale)
    sized = place.precision is not None
    takes = _WIDER.get(place.type, lambda have: False)
    return TargetColumn(field, required=True, takes=(lambda have: False) if sized else takes)
