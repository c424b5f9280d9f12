"""Number formats of other locales: `1.234,56`, `1 234,56`, `1'234.56`."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from headrace.connectors.casting.columns import cast_text
from headrace.ir.schema import DataType, Field

NUMERIC: frozenset[DataType] = frozenset({"smallint", "integer", "bigint", "decimal", "double"})
DECIMALS = (".", ",")
THOUSANDS = (",", ".", " ", "'", "_")
_BLANKS = "[ \u00a0\u202f]"
"""A space between groups of digits is often a no-break space."""

_PATTERNS = {".": r"\.", ",": ",", " ": _BLANKS, "'": "'", "_": "_"}
_LOOKS = r"^\s*[+-]?[\d.,'_ \u00a0\u202f]*\d[\d.,'_ \u00a0\u202f]*(?:[eE][+-]?\d+)?\s*$"
_NONE = "?"


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A number format. `thousands` is None if digits are not grouped."""

    decimal: str = "."
    thousands: str | None = None

    @property
    def plain(self) -> bool:
        """Whether it is the default format: a decimal point and no grouping."""
        return self.decimal == "." and self.thousands is None

    def has_marks(self, text: pl.Series) -> bool:
        """Whether any text has a decimal point, or what separates digits, in this or the default format."""
        marks = {".", ",", self.decimal, self.thousands or "."}
        return bool(text.str.contains("|".join(_PATTERNS[mark] for mark in sorted(marks))).any())

    def rewritten(self, text: pl.Series) -> pl.Series:
        """Numbers rewritten to the default format. Text that looks like a number in another format becomes `?`, which
        is not a number, because it could be misread."""
        point = _PATTERNS[self.decimal]
        group = _PATTERNS[self.thousands] if self.thousands is not None else ""
        digits = rf"(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)" if group else r"\d+"
        whole = rf"^\s*[+-]?(?:{digits}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?\s*$"
        frame = pl.DataFrame({"text": text})
        bare = pl.col("text").str.replace_all(group, "") if group else pl.col("text")
        normalized = bare.str.replace(self.decimal, ".", literal=True)
        odd = pl.col("text").str.contains(_LOOKS)
        chosen = pl.when(pl.col("text").str.contains(whole)).then(normalized).when(odd).then(pl.lit(_NONE))
        return frame.select(chosen.otherwise("text").alias(text.name)).to_series()

    def cast(self, text: pl.Series, field: Field) -> tuple[pl.Series, pl.Series | None]:
        """Like `cast_text`, for numbers in this format."""
        if self.plain or field.data_type not in NUMERIC:
            return cast_text(text, field)
        return cast_text(self.rewritten(text), field)


PLAIN_NUMBERS = NumberFormat()
"""The default format."""
