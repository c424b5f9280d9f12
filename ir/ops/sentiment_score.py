"""`sentiment_score`: whether a text speaks well or ill."""

from __future__ import annotations

from typing import Literal

from ir.base import ColumnName
from ir.ops.base import OpBase


class SentimentScore(OpBase):
    """Writes the sentiment of the English text of `field` to `to`, from -1 (ill) to 1 (well). Null where the text is
    null. Needs the extra `headrace[models]`."""

    type: Literal["sentiment_score"]
    field: ColumnName
    """The column of the text."""
    to: ColumnName
    """The column to write."""

    @property
    def makes(self) -> tuple[str, ...]:
        return (self.to,)
