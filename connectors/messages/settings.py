"""The settings of a source node for decoding messages, the same for every stream."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from headrace.connectors.specs.base import ClosedConfig

PayloadFormat = Literal["json", "jsonl", "csv", "avro", "raw"]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=63)]


class MessageKey(ClosedConfig):
    """The format of message keys, for tombstones."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    format: Literal["text", "json"] = "text"
    """`text`: the whole key is the value of one column; `json`: an object with the key's columns."""
    columns: Annotated[list[ColumnName], Field(min_length=1, max_length=32)]
    """The columns of the key; one for `text`."""


class MessageSettings(ClosedConfig):
    """The payload format."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    format: PayloadFormat = "json"
    """`json`: an object in each message. `jsonl`, `csv`: any number of lines. `avro`: a record without a file's header,
    of the schema in `options.schema` or in the schema registry. `raw`: a text."""
    options: dict[str, Any] = Field(default_factory=dict)
    """`nullValues` (json, jsonl, csv); `columns`, `delimiter`, `quote` (csv); `schema` (avro); `encoding`: `utf-8` or
    `base64` (raw); `registry`: payloads begin with the id of a schema in the registry (json, avro)."""
    metadata: dict[str, ColumnName] = Field(default_factory=dict)
    """Metadata columns: the kind of metadata, and the column's name."""
    key: MessageKey | None = None
    """The format of message keys; required for `tombstones: delete`."""
    tombstones: Literal["error", "delete", "null"] = "error"
    """The meaning of a message without a value: an error row; a delete of its key (a column `op` with `u` and `d`, for
    `cdc_mirror`); a row of nulls."""
