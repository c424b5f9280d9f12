"""What a stream's source finds out by reading what is new: the types of columns, and the first rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

from headrace.connectors.files.delimited.infer import TypeStatistics
from headrace.connectors.messages.columns import all_of, dtypes
from headrace.connectors.source import Fitting, Source, Wanted
from headrace.ir.schema import Field

_ASKED = 10_000


def types_of_new(source: Source, columns: Collection[str]) -> Mapping[str, Fitting]:
    """The types that fit all new values of columns, which are read for this. Raises SourceError."""
    found = source.discover(max_partitions=1)
    names = {*columns}
    seen = TypeStatistics(tuple(Field(name, "text") for name in sorted(names)))
    schema = tuple(Field(each.name, "text") if each.name in names else each for each in found.schema)
    for partition in found.partitions:
        for batch in source.read(partition, schema, wanted=Wanted(frozenset(names))):
            if batch.frame.height:
                seen.add(batch.frame)
    return seen.found


def first_new(source: Source, rows: int) -> pl.DataFrame:
    """At most so many of the rows that are new, typed like `discover`. Raises SourceError."""
    found = source.discover(max_partitions=1)
    frames = [pl.DataFrame(schema=dtypes(found.schema))]
    left = rows
    for partition in found.partitions:
        wanted = all_of(found.schema, max(1, min(left, _ASKED)))
        for batch in source.read(partition, found.schema, wanted=wanted):
            frames.append(batch.frame.select(frames[0].columns))
            left -= batch.frame.height
            if left <= 0:
                return pl.concat(frames).head(rows)
    return pl.concat(frames).head(rows)
