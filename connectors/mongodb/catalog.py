"""The collections of a database, and the keys and types of their documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from headrace.connectors.column_names import nearest_name
from headrace.connectors.errors import SourceError
from headrace.connectors.mongodb.bson.layout import ALIASES, Buffer, Kind, utf8
from headrace.connectors.mongodb.bson.walk import Names, documents, walk
from headrace.connectors.mongodb.session import Session
from headrace.connectors.source import StreamFound

MOST_COLUMNS = 1600
"""The most columns of a PostgreSQL table."""
_SAMPLED = 200
_COUNTED = 200
"""The number of listed collections whose documents are counted."""


@dataclass(frozen=True, slots=True)
class Collection:
    """`keyed`: `_id` is unique and has an index, so that reading continues after one."""

    name: str
    kind: str
    rows: int | None

    @property
    def keyed(self) -> bool:
        """The estimated number of documents; None for a view or a time series."""
        return self.kind == "collection"


def collection(session: Session, name: str) -> Collection:
    """Raises SourceError(`missing_collection`) with the nearest name."""
    found = session.collections(name)
    if not found:
        names = [each["name"] for each in session.collections()]
        raise SourceError(
            "missing_collection",
            f"There is no collection or view '{name}' in {session.database} that this login may read.",
            nearest_name(name, names) or "Check 'collection', and 'database' in the connector's config.",
        )
    kind = str(found[0].get("type", "collection"))
    return Collection(name, kind, session.estimate(name) if kind == "collection" else None)


def streams(session: Session, text: str) -> Sequence[StreamFound]:
    """The collections and views whose name contains the text; the first ones with an estimated number of documents."""
    found = [
        each
        for each in session.collections()
        if text.lower() in each["name"].lower() and not each["name"].startswith("system.")
    ]
    made = []
    for place, each in enumerate(sorted(found, key=lambda one: str(one["name"]))):
        kind = str(each.get("type", "collection"))
        rows = session.estimate(each["name"]) if place < _COUNTED and kind == "collection" else None
        key = ("_id",) if kind == "collection" else ()
        made.append(StreamFound(each["name"], {"collection": each["name"]}, kind, rows=rows, key=key))
    return made


def all_types(session: Session, name: str, stages: Sequence[Mapping[str, Any]]) -> dict[str, set[str]]:
    """The keys of all documents that the stages return, with the types of their values: the server reads every
    document. Raises SourceError(`too_many_columns`)."""
    pairs = {"$map": {"input": {"$objectToArray": "$$ROOT"}, "as": "e", "in": {"k": "$$e.k", "t": {"$type": "$$e.v"}}}}
    found: dict[str, set[str]] = {}
    pipeline = [
        *stages,
        {"$project": {"_id": 0, "pair": pairs}},
        {"$unwind": "$pair"},
        {"$group": {"_id": "$pair"}},
        {"$limit": MOST_COLUMNS * 3},
    ]
    for each in session.aggregated(name, pipeline):
        found.setdefault(each["_id"]["k"], set()).add(each["_id"]["t"])
    if len(found) > MOST_COLUMNS:
        raise SourceError(
            "too_many_columns",
            f"The documents of {name} have more than {MOST_COLUMNS:,} different keys: no table has so many columns.",
            "Declare `fields` on the source node, or read the whole document: set 'document'.",
        )
    return found


def sampled_types(session: Session, name: str, stages: Sequence[Mapping[str, Any]]) -> tuple[dict[str, set[str]], int]:
    """The keys of a sample of documents, in their order, and the number of sampled documents."""
    text = session.sampled(name, [*stages, {"$limit": _SAMPLED}])
    buffer = Buffer.of(text)
    starts, names = documents(buffer), Names()
    found: dict[int, set[str]] = {}
    for run in walk(buffer, starts[:-1], names):
        for number in np.unique(run.name).tolist():
            kinds = np.unique(run.kind if isinstance(run.name, int) else run.kind[run.name == number])
            found.setdefault(number, set()).update(ALIASES[Kind(int(kind))] for kind in kinds)
    texts = utf8(pl.Series(names.known, dtype=pl.Binary)).to_list()
    return {texts[number]: types for number, types in found.items() if texts[number] is not None}, len(starts) - 1


def ordered(types: Mapping[str, set[str]], first: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The keys in the order of the sampled documents, then the others by name."""
    names = [name for name in first if name in types]
    return {name: types[name] for name in (*names, *sorted(types.keys() - first.keys()))}
