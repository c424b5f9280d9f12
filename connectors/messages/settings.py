"""The settings of a source node for decoding messages, the same for every stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from headrace.connectors.specs.base import ClosedConfig

PayloadFormat = Literal["json", "jsonl", "csv", "avro", "raw"]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=63)]


class MessageKey(ClosedConfig):
    """How a message's key is read, for the rows of tombstones."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    format: Literal["text", "json"] = "text"
    """`text`: the whole key is the value of one column; `json`: an object with the key's columns."""
    columns: Annotated[list[ColumnName], Field(min_length=1, max_length=32)]
    """The columns that the key has; one for `text`."""


class MessageSettings(ClosedConfig):
    """How messages become rows."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    format: PayloadFormat = "json"
    """`json`: an object in each message. `jsonl`, `csv`: any number of lines. `avro`: a record without a file's header,
    of the schema in `options.schema` or in the schema registry. `raw`: a text."""
    options: dict[str, Any] = Field(default_factory=dict)
    """`nullValues` (json, jsonl, csv); `columns`, `delimiter`, `quote` (csv); `schema` (avro); `encoding`: `utf-8` or
    `base64` (raw); `registry`: payloads begin with the id of a schema in the registry (json, avro)."""
    metadata: dict[str, ColumnName] = Field(default_factory=dict)
    """What of a message besides its payload becomes a column, and the column's name."""
    key: MessageKey | None = None
    """How the key of a message is read; needed for `tombstones: delete`."""
    tombstones: Literal["error", "delete", "null"] = "error"
    """What a message without a value is: a row that fails; a delete of its key (a column `op` with `u` and `d`, as
    `cdc_mirror` takes it); a row without values."""


def plain_options(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Those of the options that a format's reader knows by these names."""
    return {name: options[name] for name in names if name in options}
