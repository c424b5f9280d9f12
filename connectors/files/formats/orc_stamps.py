"""Finds the timestamp of an ORC file that nanoseconds cannot hold, for the error about it.

pyarrow refuses such a value and says neither column nor row. Stripes are the least that it reads by number; its reading
in smaller batches runs ahead, and where that stops says nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

OUT_OF_RANGE = "out of range for nanosecond"


def first_out_of_range(path: Path) -> str | None:
    """The column and the stripe of the first value that is out of range: `column 'at', one of the rows 1 to 40`; None
    if there is none. Raises what pyarrow raises for a damaged file."""
    from pyarrow import orc

    file = orc.ORCFile(path)
    stamps = [field.name for field in file.schema if _has_stamps(field.type)]
    others = [field.name for field in file.schema if field.name not in stamps]
    for name in stamps:
        before = 0
        for stripe in range(file.nstripes):
            try:
                before += file.read_stripe(stripe, columns=[name]).num_rows
            except pa.ArrowInvalid as error:
                if OUT_OF_RANGE not in str(error):
                    raise
                last = file.nrows
                if stripe + 1 < file.nstripes and others:
                    last = before + int(file.read_stripe(stripe, columns=others[:1]).num_rows)
                rows = f"row {last:,}" if last == before + 1 else f"one of the rows {before + 1:,} to {last:,}"
                return f"column '{name}', {rows}"
    return None


def _has_stamps(kind: Any) -> bool:
    if pa.types.is_timestamp(kind):
        return True
    return any(_has_stamps(kind.field(place).type) for place in range(kind.num_fields))
