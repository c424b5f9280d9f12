"""A message layout as JSON in a partition's location, so that reading processes do not sample again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.connectors.messages.formats import Layout
from headrace.ir.schema import Field


def layout_to(found: Layout) -> dict[str, Any]:
    """The layout as JSON."""
    return {
        "fields": [[each.name, each.data_type, each.precision, each.scale, each.format] for each in found.fields],
        "keys": dict(found.keys),
        "closed": found.closed,
        "schema": found.schema,
    }


def layout_from(stored: Mapping[str, Any]) -> Layout:
    """The layout from JSON."""
    fields = tuple(
        Field(name, data_type, precision, scale, form) for name, data_type, precision, scale, form in stored["fields"]
    )
    return Layout(fields, stored["keys"], bool(stored["closed"]), stored["schema"])
