"""`vector_embed`: what a text means, as a vector."""

from __future__ import annotations

from typing import Literal

from ir.base import ColumnName
from ir.ops.base import OpBase

EmbeddingModel = Literal["wordllama"]


class VectorEmbed(OpBase):
    """Writes the embedding of the text of `field` to `to`: 256 numbers of length 1 in all, so that the dot product of
    two is their similarity. Null where the text is null or blank. Needs the extra `headrace[models]`."""

    type: Literal["vector_embed"]
    field: ColumnName
    """The column of the text."""
    to: ColumnName
    """The column to write."""
    model: EmbeddingModel = "wordllama"
    """What makes the vectors."""

    @property
    def makes(self) -> tuple[str, ...]:
        return (self.to,)
