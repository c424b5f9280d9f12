"""`filter`: keep the rows that match."""

from __future__ import annotations

from typing import Literal

from ir.base import SqlText
from ir.ops.base import OpBase


class Filter(OpBase):
    """Keeps rows for which `expression` is true; the others are skipped and counted."""

    type: Literal["filter"]
    expression: SqlText
    """A SQL condition over the row."""
