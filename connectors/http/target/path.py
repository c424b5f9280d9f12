"""Values in the path of a target, `/users/{field.id}`: each is percent-encoded and stays one segment of the path."""

from __future__ import annotations

import re
from urllib.parse import quote

import polars as pl

from headrace.connectors.errors import TargetError

PLACE = re.compile(r"\{field\.([^{}]{1,200})\}")
_UNRESERVED = r"^[A-Za-z0-9._~-]*$"
_LEAVES = r"(?:^|[/\\])\.{1,2}(?:$|[/\\])"
_LONGEST = 2_000
COMPLAINT = f"The value cannot be a part of an address: it is empty, has dots as a folder, or over {_LONGEST:,} bytes"


def columns_of(path: str) -> list[str]:
    """The columns that a path names, in its order."""
    return list(dict.fromkeys(PLACE.findall(path)))


def texts_of(values: pl.Series) -> pl.Series:
    """A column as text for a path: numbers keep their digits, dates and times are ISO 8601. Raises
    TargetError(`type_mismatch`)."""
    dtype = values.dtype
    if isinstance(dtype, pl.Date | pl.Datetime):
        return values.dt.to_string("iso:strict")
    if dtype.is_nested() or dtype in (pl.Binary, pl.Duration, pl.Time, pl.Object):
        raise TargetError(
            "type_mismatch",
            f"Column '{values.name}' has values of type {str(dtype).lower()}, which cannot be a part of an address.",
            "Convert it to text with a transform.",
        )
    return values.cast(pl.String)


def unusable(texts: pl.Series) -> pl.Series:
    """Which values cannot be a segment of a path; null counts."""
    bad = (texts == "") | texts.str.contains(_LEAVES) | (texts.str.len_bytes() > _LONGEST)
    return bad.fill_null(value=True)


def paths(path: str, texts: dict[str, pl.Series]) -> pl.Expr:
    """The path of each row, with encoded values. `texts` has the columns, which are in the frame under their names."""
    parts, at = list[pl.Expr](), 0
    for found in PLACE.finditer(path):
        parts += [pl.lit(path[at : found.start()]), pl.lit(_encoded(texts[found[1]]))]
        at = found.end()
    return pl.concat_str([*parts, pl.lit(path[at:])])


def _encoded(texts: pl.Series) -> pl.Series:
    odd = texts.filter(~texts.str.contains(_UNRESERVED)).unique().to_list()
    return texts.replace(odd, [quote(each, safe="") for each in odd]) if odd else texts
