"""The columns of a schema that differ from its document's: to add, to change, to drop."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as changed
from typing import Any

from headrace.deployments.cli.apply.differences import differences, immutable
from headrace.deployments.cli.apply.tenant import Item, definition
from headrace.deployments.cli.documents.load import Document, Fault

_SIZES = ("length", "precision", "scale")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One column to add (`field_id` None), change, or drop (`body` None)."""

    field_id: str | None
    body: dict[str, Any] | None
    details: tuple[str, ...]
    losses: tuple[str, ...] = ()
    fault: Fault | None = None


def field_changes(document: Document, item: Item) -> list[FieldChange]:
    """The differences of a schema's columns. Sizes and nullability that the file omits are not compared."""
    from headrace.catalog.schemas.alter import possible_loss

    found: list[FieldChange] = []
    before = {each["name"]: each for each in item["fields"]}
    wanted = {each.name: (index, each) for index, each in enumerate(document.schema.fields)}
    for name, each in before.items():
        if name not in wanted:
            path = f"fields.{name}"
            fault = immutable(document, path, f"'{name}' is of the primary key") if each["isPrimaryKey"] else None
            found.append(FieldChange(each["id"], None, (f"field {name} removed",), (f"the values of '{name}'",), fault))
    for name, (index, shape) in wanted.items():
        body = shape.model_dump(by_alias=True, exclude_none=True)
        after = definition(shape)
        if name not in before:
            path = f"fields[{index}].isPrimaryKey"
            fault = immutable(document, path, "The primary key is fixed") if shape.is_primary_key else None
            found.append(FieldChange(None, body, (f"field {name} added: {shape.data_type}",), fault=fault))
            continue
        old = before[name]
        facts = {
            "displayName": after.display_name,
            "dataType": after.data_type,
            "length": shape.length,
            "precision": shape.precision,
            "scale": shape.scale,
            "isNullable": shape.is_nullable,
            "isPrimaryKey": after.is_primary_key,
            "isUnique": after.is_unique,
            "isPredictor": after.is_predictor,
            "defaultValue": after.default_value,
            "description": after.description,
        }
        left_out = {key for key in ("length", "precision", "scale", "isNullable") if facts[key] is None}
        details = [
            detail
            for key, value in facts.items()
            if key not in left_out
            for detail in differences(f"field {name}.{key}", old[key], value)
        ]
        if not details:
            continue
        fault = None
        if old["isPrimaryKey"] != after.is_primary_key:
            fault = immutable(document, f"fields[{index}].isPrimaryKey", "The primary key cannot change")
        kept = {key: old[key] for key in _SIZES if key in left_out and after.data_type == old["dataType"]}
        now = changed(after, data_type=old["dataType"], **{key: old[key] for key in _SIZES})
        lost = possible_loss(now, changed(after, **kept))
        sent = {key: value for key, value in facts.items() if key not in left_out}
        found.append(FieldChange(old["id"], sent, tuple(details), (lost,) if lost else (), fault))
    return found
