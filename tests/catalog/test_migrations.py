"""The database is brought up by migrations alone, from anywhere, by anybody, once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from headrace.catalog.engine import SCHEMA, current, downgrade, head, make_engine, revisions, upgrade
from headrace.catalog.models import Base

pytestmark = pytest.mark.postgres


def test_a_fresh_database_is_at_no_migration_and_then_at_the_newest(owner_url: str) -> None:
    assert current(owner_url) is None
    upgrade(owner_url)
    assert current(owner_url) == head() is not None


def test_several_processes_may_upgrade_at_once(owner_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [owner_url] * 4))
    assert current(owner_url) == head()


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


def test_an_upgrade_that_is_not_needed_changes_nothing(engine: Engine, owner_url: str) -> None:
    upgrade(owner_url)
    with make_engine(owner_url).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM headrace.tenants")).scalar() == 2


def test_every_migration_goes_back_and_forth_and_leaves_what_was_there(owner_url: str) -> None:
    newest_first = revisions()
    assert newest_first[0] == head()
    shapes: dict[str, list[str]] = {}
    for revision in reversed(newest_first):
        upgrade(owner_url, revision)
        shapes[revision] = shape(owner_url)
    with make_engine(owner_url).begin() as connection:  # rows, too, must not be in the way
        for statement in _ROWS:
            connection.execute(text(statement))
    for newer, older in pairwise(newest_first):
        downgrade(owner_url, older)
        assert (current(owner_url), shape(owner_url)) == (older, shapes[older])
        upgrade(owner_url, newer)
        assert (current(owner_url), shape(owner_url)) == (newer, shapes[newer])
        downgrade(owner_url, older)
    with make_engine(owner_url).connect() as connection:
        assert connection.execute(text("SELECT name FROM headrace.pipelines")).scalars().all() == ["orders"]
    downgrade(owner_url, "base")
    assert current(owner_url) is None
    assert shape(owner_url) == []
    upgrade(owner_url)
    assert shape(owner_url) == shapes[newest_first[0]]


def shape(url: str) -> list[str]:
    """Every table with its columns, every index, function, constraint and trigger of the catalog, in words."""
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            return sorted(connection.execute(text(_SHAPE)).scalars())
    finally:
        engine.dispose()


# Not the extension's own functions: it is the database's, and stays.
_SHAPE = """
    SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = 'headrace' AND table_name <> 'alembic_version'
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'headrace' AND tablename <> 'alembic_version'
    UNION ALL SELECT 'function ' || p.proname FROM pg_proc p
        WHERE p.pronamespace = 'headrace'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'headrace'::regnamespace AND NOT t.tgisinternal
    UNION ALL SELECT c.conname || ' ' || pg_get_constraintdef(c.oid) FROM pg_constraint c
        WHERE c.connamespace = 'headrace'::regnamespace AND c.conrelid::regclass::text !~ 'alembic_version'
"""

_ROWS = (
    "INSERT INTO headrace.tenants (id, name) VALUES ('t', 't')",
    """
    INSERT INTO headrace.connectors (id, tenant_id, name, type, config, auth_method, status)
    VALUES ('c', 't', 'files', 'local_fs', '{}', 'none', 'active')
    """,
    """
    INSERT INTO headrace.schemas (id, tenant_id, name, display_name, table_name, entity_type, schema_type, status,
                                  auto_enrich)
    VALUES ('s', 't', 'orders', 'Orders', 'ds_orders', 'x', 'x', 'active', false)
    """,
    """
    INSERT INTO headrace.pipelines (id, tenant_id, name, status, connector_id, schema_id, execution_config, nodes,
                                    edges, live_version, live_schedule)
    VALUES ('p', 't', 'orders', 'draft', 'c', 's', '{}', '[]', '[]', 1, '{"kind": "interval", "minutes": 5}')
    """,
    "INSERT INTO headrace.pipeline_ir_versions (pipeline_id, version, ir) VALUES ('p', 1, '{}')",
    """
    INSERT INTO headrace.pipeline_runs (id, tenant_id, pipeline_id, ir_version, root_run_id, status, load_strategy)
    VALUES ('r', 't', 'p', 1, 'r', 'running', 'append')
    """,
    "INSERT INTO headrace.run_partitions (run_id, stage, index, planned_rows, status) VALUES ('r', 0, 0, 1, 'pending')",
    "UPDATE headrace.pipeline_runs SET status = 'completed', rows_in = 1",
)
