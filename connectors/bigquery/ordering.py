"""Checks that rows arrive in the requested order: a position that skips rows would lose them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from headrace.connectors.errors import SourceError


def check_order(
    raw: pl.DataFrame, order: Sequence[str], before: tuple[Any, ...] | None, what: str
) -> tuple[Any, ...] | None:
    """The last row's values of the ordered columns; `before` are those of the row before the frame. Raises
    SourceError(`bad_order`)."""
    if not order or not raw.height:
        return before
    keys = raw.select(order)
    # (a, b) is below (a', b') where a < a', or a = a' and b < b'
    pairs = [(pl.col(name), pl.col(name).shift(1)) for name in order]
    below = pl.lit(value=False)
    for here, earlier in reversed(pairs):
        below = (here < earlier) | ((here == earlier) & below)
    if keys.select(below.any()).item() or (before is not None and keys.row(0) < before):
        raise SourceError(
            "bad_order", f"The rows of {what} did not come in the order of {', '.join(order)}.", "Start a new run."
        )
    return keys.row(-1)
