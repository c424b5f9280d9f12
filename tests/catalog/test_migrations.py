"""The database is brought up by migrations alone, from anywhere, by anybody, once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from catalog.engine import SCHEMA, current, head, make_engine, upgrade
from catalog.models import Base

pytestmark = pytest.mark.postgres


def test_a_fresh_database_stands_at_no_migration_and_then_at_the_newest(database_url: str) -> None:
    assert current(database_url) is None
    upgrade(database_url)
    assert current(database_url) == head() is not None


def test_several_processes_may_upgrade_at_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [database_url] * 4))
    assert current(database_url) == head()


def test_models_and_migrations_describe_the_same_tables(engine: Engine) -> None:
    def ours(name: str | None, kind: str, _: object) -> bool:
        return kind != "schema" or name == SCHEMA

    with engine.connect() as connection:
        options = {"include_schemas": True, "include_name": ours, "version_table_schema": SCHEMA}
        context = MigrationContext.configure(connection, opts={**options, "target_metadata": Base.metadata})
        assert compare_metadata(context, Base.metadata) == []


def test_the_catalog_leaves_public_to_the_user(engine: Engine) -> None:
    with engine.connect() as connection:
        tables = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
    assert tables == []


def test_an_upgrade_that_is_not_needed_changes_nothing(engine: Engine, database_url: str) -> None:
    upgrade(database_url)
    with make_engine(database_url).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM headrace.tenants")).scalar() == 2
