"""The world that tests of a target's options share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from catalog.engine import upgrade
from deployments.stack.postgres import EmbeddedPostgres, ensure_database
from tests.flows.runtime.loads import Loads

_MIGRATED = "headrace_migrated"


@pytest.fixture(scope="session")
def migrated(postgres_server: EmbeddedPostgres) -> str:
    """A database with an empty catalog, to be copied: quicker than migrating each."""
    ensure_database(postgres_server.url("postgres"), _MIGRATED)
    upgrade(postgres_server.url(_MIGRATED))
    return _MIGRATED


@pytest.fixture
def loads(tmp_path: Path, postgres_server: EmbeddedPostgres, migrated: str) -> Iterator[Loads]:
    name = f"test_{uuid4().hex[:12]}"
    admin = postgres_server.url("postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(copy.format(sql.Identifier(name), sql.Identifier(migrated)))
    world = Loads(tmp_path, postgres_server.url(name))
    try:
        yield world
    finally:
        world.close()
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
