"""Servers whose changes are read: of the newest version, and of older ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headrace.deployments.stack.database.server import EmbeddedPostgres
from tests.connectors.sql.postgresql.changes.origin import open_server, origin

__all__ = ["logical_server", "origin"]

_VERSIONS = [18, *(pytest.param(version, marks=pytest.mark.slow) for version in (14, 15, 16, 17))]


@pytest.fixture(scope="session", params=_VERSIONS, ids=lambda version: f"PostgreSQL-{version}")
def logical_server(request: pytest.FixtureRequest) -> Iterator[tuple[EmbeddedPostgres, int]]:
    with open_server(request.param) as server:
        yield server
