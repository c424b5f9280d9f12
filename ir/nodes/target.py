"""The target node: which table rows land in, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ir.base import ColumnName, TableName
from ir.nodes.base import SingleInput

LoadModeName = Literal["append"]


class TargetNode(SingleInput):
    """Loads rows into `schema` (a qualified table). `mapping` is target column → incoming column where names differ."""

    kind: Literal["target"]
    target_schema: TableName = Field(alias="schema")
    load_mode: LoadModeName = "append"
    mapping: dict[ColumnName, ColumnName] = Field(default_factory=dict)

    @property
    def table(self) -> str:
        """The qualified table: `public` where no schema is named."""
        return self.target_schema if "." in self.target_schema else f"public.{self.target_schema}"
