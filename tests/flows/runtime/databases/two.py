"""One source into the databases of two connectors, also opened in another process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from headrace.catalog.runs.records import ConnectorRecord
from tests.flows.runtime.graphs.world import Mill, Node, source, target
from tests.second_database import LOGIN, SecondDatabase

_FIELDS = {"id": "bigint", "name": "text"}


def both(mode: str, **checks: Any) -> list[Node]:
    """The document: `src` into `one` (connector `shop`) and `two` (`store`), through a check where one is given."""
    options: dict[str, Any] = {"loadMode": mode, **({"upsertKey": ["id"]} if mode in ("upsert", "scd2") else {})}
    check = [{"id": "check", "kind": "validate", "input": "src", "rowLevel": [], **checks}] if checks else []
    before = "check" if checks else "src"
    one = target("one", before, "orders", connection="shop", **options)
    two = target("two", before, "orders", connection="store", **options)
    return [source("orders.csv", _FIELDS), *check, one, two]


TABLE = """
CREATE TABLE public.orders (id bigint, name text, valid_from timestamptz, valid_to timestamptz, is_current boolean)
"""
"""Without a key: only Headrace prevents doubles."""


def key(mode: str, *databases: SecondDatabase) -> None:
    """The index that a merge by key needs."""
    for database in databases:
        if mode == "upsert":
            database.alter("CREATE UNIQUE INDEX ON public.orders (id)")


def in_both(*databases: SecondDatabase) -> list[tuple[Any, ...]]:
    """Rows, distinct ids and their sum in each."""
    return [each.rows("SELECT count(*), count(DISTINCT id), sum(id)::int FROM public.orders")[0] for each in databases]


def open_mill(root: str, url: str, second: str, third: str) -> Mill:
    """The mill of a test in another process; the databases by their names, the port by SECOND_PORT."""
    mill = Mill(Path(root), url)
    place = {"host": "127.0.0.1", "port": int(os.environ.get("SECOND_PORT", "5432"))}
    mill.named = {
        named: ConnectorRecord(record, "postgresql", {**place, "database": database}, dict(LOGIN))
        for named, record, database in (("shop", "conn_2", second), ("store", "conn_3", third))
    }
    return mill
