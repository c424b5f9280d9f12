"""The validate node: rules on rows, and what happens to rows that break them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from headrace.ir.base import ColumnName, Doc, NodeId, TableName
from headrace.ir.dataset_rules import DatasetLevel
from headrace.ir.nodes.base import SingleInput
from headrace.ir.problems import fault
from headrace.ir.rules import Rule, parse_rule

OnFail = Literal["quarantine", "skip", "warn", "abort"]


def _valid_rule(text: str) -> str:
    parse_rule(text)
    return text


class RowRule(Doc):
    """One rule on one field. If a row breaks it: `quarantine` sets the row aside as failed, `skip` drops and counts it,
    `warn` loads it and records the error, `abort` fails the run before the batch is loaded."""

    id: NodeId
    """The name of the rule in errors and reports."""
    field: ColumnName
    """The column that is checked."""
    rule: Annotated[str, AfterValidator(_valid_rule)]
    """`name`, or `name:arguments`."""
    on_fail: OnFail = "quarantine"
    """What happens to a row that breaks the rule."""

    @property
    def parsed(self) -> Rule:
        """The rule as typed data."""
        return parse_rule(self.rule)


def _quarantine_table(name: str) -> str:
    if not name.startswith("dlq."):
        hint = f"write dlq.{name.rpartition('.')[2]}"
        raise fault("quarantine_schema", f"'{name}' is not in the schema dlq, where quarantine tables live", hint)
    return name


class Quarantine(Doc):
    """A table in the schema `dlq` for quarantined rows with their original values; created on first use."""

    table: Annotated[TableName, AfterValidator(_quarantine_table)]
    """The table, for example `dlq.orders`."""


class ValidateNode(SingleInput):
    """Checks every row against every row rule; a row that breaks several is reported for each and counted once. The
    dataset rules check the remaining rows as a whole."""

    kind: Literal["validate"]
    row_level: tuple[RowRule, ...] = ()
    """Rules on each row."""
    dataset_level: DatasetLevel = Field(default_factory=DatasetLevel)
    """Rules on all rows together."""
    quarantine: Quarantine | None = None
    """The table for quarantined rows."""

    @model_validator(mode="after")
    def _has_rules(self) -> ValidateNode:
        if not self.row_level and not any(True for _ in self.dataset_level):
            raise fault("missing_field", "There is no rule to check", "add 'rowLevel' or 'datasetLevel'")
        return self
