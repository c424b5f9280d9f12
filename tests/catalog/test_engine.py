"""Connections that the server has closed are replaced before anybody gets them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import text

from headrace.catalog.engine import make_engine

pytestmark = pytest.mark.postgres


def test_connections_that_the_server_has_closed_are_replaced(postgres_url: str) -> None:
    engine = make_engine(postgres_url, pool_size=3)
    try:
        for _ in range(2):
            connections = [engine.connect() for _ in range(3)]
            backends = [connection.scalar(text("SELECT pg_backend_pid()")) for connection in connections]
            for connection in connections:
                connection.close()
            with psycopg.connect(postgres_url, autocommit=True) as other:
                for backend in backends:
                    other.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])

            def ask(_: int) -> object:
                with engine.connect() as connection:
                    return connection.scalar(text("SELECT 1"))

            with ThreadPoolExecutor(3) as pool:
                assert list(pool.map(ask, range(6))) == [1] * 6
    finally:
        engine.dispose()
