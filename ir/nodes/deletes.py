"""What becomes of rows whose key the source has no more: the setting `deletes` of a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from headrace.ir.base import ColumnName, Doc
from headrace.ir.problems import fault

DeleteAction = Literal["remove", "close", "mark"]

DELETING: Mapping[str, tuple[DeleteAction, ...]] = {"upsert": ("remove", "mark"), "scd2": ("close",)}
"""What the load modes that can notice deletes may do about them; the first is what they do unless asked for another."""


class SourceDeletes(Doc):
    """Compares the keys of the table with all keys that the source has, when the rows of the run are loaded: a cursor
    finds what is new or changed, and never what was deleted. Only the key's columns are read for it."""

    action: DeleteAction | None = None
    """`remove` deletes the rows (upsert), `close` ends the current version (scd2), `mark` writes the time, or true,
    into `column` (upsert) and takes it back when the key returns. What the load mode does without it: `remove` or
    `close`."""
    column: ColumnName | None = None
    """The column of the table that `mark` writes: a date, timestamp or boolean that the data do not fill."""
    max_share: float = Field(default=0.5, gt=0, le=1)
    """A run that would take more than this share of the rows fails and takes none: a source may be empty by mistake.
    1 allows all."""
    scope: Literal["pipeline", "table"] = "pipeline"
    """Which rows are compared: those that this pipeline loaded from this source, or all of the table."""

    @model_validator(mode="after")
    def _marked(self) -> SourceDeletes:
        if self.action == "mark" and self.column is None:
            raise fault("missing_field", "The action 'mark' needs a 'column'", "name a timestamp column of the table")
        if self.action != "mark" and self.column is not None:
            raise fault("bad_option", "'column' is for the action 'mark'", 'add "action": "mark", or remove it')
        return self
