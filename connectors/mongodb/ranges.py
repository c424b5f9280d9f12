"""Splits a collection into ranges of `_id`, and builds the filter that reads after a position.

The comparisons of a filter (`{"_id": {"$gt": 5}}`) are made within one type only: a document whose `_id` is of another
would be in no range. Those of an expression (`$expr`) follow the order of all types, as sorting does, and use the index
from MongoDB 5.0 on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from headrace.connectors.mongodb.bson.table import Table
from headrace.connectors.mongodb.raw import Value, literal, sendable
from headrace.connectors.mongodb.session import Session

_EACH = 40
"""Documents that are sampled for each partition."""
_SHARE = 25
"""A sample has at most one document in this many: for a larger sample the server would read all of them."""
_LEAST = 8
"""Documents that are sampled for each partition of a small collection."""


def cuts(session: Session, name: str, rows: int, parts: int) -> list[Value]:
    """Ascending values of `_id` that split a collection into at most `parts` parts of about the same number of
    documents."""
    size = min(parts * _EACH, max(parts * _LEAST, rows // _SHARE))
    pipeline = [{"$sample": {"size": size}}, {"$project": {"_id": 1}}, {"$sort": {"_id": 1}}]
    table = Table.of(session.sampled(name, pipeline), [b"_id"])
    found: list[Value] = []
    for part in range(1, parts):
        each = table.element(b"_id", table.rows * part // parts) if table.rows else None
        if each is not None and (not found or Value(*each) != found[-1]):
            found.append(Value(*each))
    least = table.element(b"_id", 0) if table.rows else None
    points = [each for each in found if least is None or each != Value(*least)]
    return points if _ascend(session, name, points) else []


def _ascend(session: Session, name: str, points: Sequence[Value]) -> bool:
    """Whether the values ascend in the order in which ranges are compared. A server that sorts otherwise would return
    documents twice: MongoDB does not, some compatible servers do for values of several types."""
    pairs = [{"$lt": [literal(low), literal(high)]} for low, high in pairwise(points)]
    if not pairs:
        return True
    answer = session.aggregated(name, [{"$limit": 1}, {"$project": {"_id": 0, "ascend": {"$and": pairs}}}])
    return bool(answer and answer[0].get("ascend"))


def within(low: Value | None, high: Value | None) -> list[Mapping[str, Any]]:
    """From `low` (included) to below `high`; None: without an end. Conditions for `$and`."""
    found: list[Mapping[str, Any]] = []
    if low is not None:
        found.append({"$expr": {"$gte": ["$_id", literal(low)]}})
    if high is not None:
        found.append({"$expr": {"$lt": ["$_id", literal(high)]}})
    return found


def documents_after(order: Sequence[str], after: Sequence[Value]) -> Mapping[str, Any]:
    """The filter for documents after the values of one key, or of two."""

    tie = {"$expr": {"$gt": ["$_id", literal(after[-1])]}}
    if len(order) == 1:
        return tie
    first, value = order[0], after[0]
    return {"$or": [{first: sendable([("$gt", value)])}, {"$and": [{first: sendable([("$eq", value)])}, tie]}]}


def last(table: Table, keys: Sequence[bytes]) -> list[Value] | None:
    """The values of the last document; None if one is missing."""
    found = [table.element(key, table.rows - 1) for key in keys]
    return None if None in found else [Value(*each) for each in found if each is not None]
