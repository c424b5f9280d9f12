"""`headrace.testing` in tests of pipelines."""

from __future__ import annotations

import polars as pl
import psycopg
import pytest

from headrace import HeadraceError, Pipeline
from headrace.deployments.stack.database.server import EmbeddedPostgres
from headrace.testing import land, postgres
from tests.headrace.orders import ORDERS, TABLE

pytestmark = pytest.mark.postgres
PIPELINE = Pipeline.from_yaml(ORDERS.replace("maxErrorRows: 1", "maxErrorRows: 10"))


def test_given_rows_land(postgres_server: EmbeddedPostgres) -> None:
    server = postgres_server.url("postgres")
    before = databases(server)
    landed = land(PIPELINE, {"src": "id,name,amount\n2,Bob,1\n1,Ann,1\n3,,1\n"}, server=server, tables=TABLE)
    assert [row["id"] for row in landed.rows("public.ds_orders")] == [1, 2]
    assert landed.errors.select("row", "column").rows() == [(3, "name")]
    assert landed.result.rows_out == 2
    frame = pl.DataFrame({"id": [7], "name": ["Gil"], "amount": [1]})
    assert land(PIPELINE, {"src": frame}, server=server, tables=TABLE).rows("public.ds_orders")[0]["name"] == "Gil"
    assert databases(server) == before


def databases(server: str) -> set[str]:
    with psycopg.connect(server) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


def test_a_source_that_is_not_there_is_said(postgres_server: EmbeddedPostgres) -> None:
    with pytest.raises(HeadraceError, match="no source node 'scr'"):
        land(PIPELINE, {"scr": "id\n1\n"}, server=postgres_server.url("postgres"), tables=TABLE)


def test_a_server_can_be_had_for_a_block() -> None:
    with postgres() as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
