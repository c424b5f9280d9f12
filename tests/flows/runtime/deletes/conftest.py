"""A PostgreSQL and a MariaDB that feed another PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.connectors.sql.mysql.market import DATABASE, Market, mariadb, market
from tests.connectors.sql.postgresql.shop import Shop, certificates, server, shop
from tests.flows.runtime.deletes.feed import Feed

__all__ = ["certificates", "mariadb", "market", "server", "shop"]

_TABLE = "CREATE TABLE t (id bigint PRIMARY KEY, name varchar(20), v bigint NOT NULL)"


@pytest.fixture(params=["postgresql", pytest.param("mysql", marks=pytest.mark.slow)])
def feed(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Feed:
    """`t (id, name, v)` in the source with the rows 1 to 10, and an empty `public.one (id, name, v)`."""
    origin: Shop | Market
    if request.param == "postgresql":
        origin = request.getfixturevalue("shop")
        origin.make(_TABLE, "GRANT SELECT ON t TO reader")
    else:
        origin = request.getfixturevalue("market")
        origin.make(_TABLE)
        assert origin.config["database"] == DATABASE
    feed = Feed(tmp_path, database_url, request.param, origin)
    feed.table("one", "id bigint PRIMARY KEY, name text, v bigint")
    feed.put(*range(1, 11))
    return feed
