"""`language_detect`: the language of a text."""

from __future__ import annotations

from typing import Literal

from ir.base import ColumnName
from ir.ops.base import OpBase


class LanguageDetect(OpBase):
    """Writes the ISO 639-1 code of the language of `field` to `to`; null where no language is more likely than not.
    Needs the extra `headrace[models]`."""

    type: Literal["language_detect"]
    field: ColumnName
    """The column of the text."""
    to: ColumnName
    """The column to write."""

    @property
    def makes(self) -> tuple[str, ...]:
        return (self.to,)
