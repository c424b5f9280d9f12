"""The errors of runs are counted as they are recorded, so that no page of them counts them all.

Triggers count, so that whoever records or deletes errors counts them too; also runs that began before the upgrade. The
errors that are there are counted here, which took 0.6 s for a million. Runs that record errors wait meanwhile."""

from __future__ import annotations

from alembic import op

revision = "0022_error_counts"
down_revision = "0021_errors_of_files"
branch_labels = None
depends_on = None

_KEY = 'root_run_id, run_id, node_id, rule, "column", warning, stage, "partition"'
_COUNT = f"SELECT {_KEY}, count(*) AS cells FROM {{}} GROUP BY {_KEY}"  # noqa: S608 - constants
_IN_ORDER = f"SELECT * FROM ({_COUNT}) counted ORDER BY {_KEY}"  # noqa: S608 - constants
"""In the order of the key, so that two who count the same errors wait for each other in one order. The functions do not
sort the errors to count them, as PostgreSQL would by itself: that takes several times as long."""
_SAME = " AND ".join(f"kept.{name} = less.{name}" for name in _KEY.split(", "))

_UPGRADE = (
    f"""
    CREATE TABLE headrace.run_error_counts (
        root_run_id text NOT NULL, run_id text NOT NULL, node_id text NOT NULL, rule text NOT NULL,
        "column" text NOT NULL, warning boolean NOT NULL, stage integer NOT NULL, "partition" integer NOT NULL,
        cells bigint NOT NULL, PRIMARY KEY ({_KEY})
    )
    """,
    "LOCK TABLE headrace.run_errors IN SHARE ROW EXCLUSIVE MODE",
    f"INSERT INTO headrace.run_error_counts {_COUNT.format('headrace.run_errors')}",
    f"""
    CREATE FUNCTION headrace.count_errors() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_sort = off AS $$
    BEGIN
        INSERT INTO headrace.run_error_counts AS kept ({_KEY}, cells) {_IN_ORDER.format("added")}
        ON CONFLICT ({_KEY}) DO UPDATE SET cells = kept.cells + excluded.cells;
        RETURN NULL;
    END $$
    """,
    f"""
    CREATE FUNCTION headrace.uncount_errors() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_sort = off AS $$
    BEGIN
        UPDATE headrace.run_error_counts kept SET cells = kept.cells - less.cells
        FROM ({_COUNT.format("gone")}) less WHERE {_SAME};
        DELETE FROM headrace.run_error_counts kept USING (SELECT DISTINCT root_run_id FROM gone) chain
        WHERE kept.root_run_id = chain.root_run_id AND kept.cells = 0;
        RETURN NULL;
    END $$
    """,  # noqa: S608 - constants
    """
    CREATE TRIGGER count_errors AFTER INSERT ON headrace.run_errors REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION headrace.count_errors()
    """,
    """
    CREATE TRIGGER uncount_errors AFTER DELETE ON headrace.run_errors REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION headrace.uncount_errors()
    """,
)

_DOWNGRADE = (
    "DROP TRIGGER uncount_errors ON headrace.run_errors",
    "DROP TRIGGER count_errors ON headrace.run_errors",
    "DROP FUNCTION headrace.uncount_errors",
    "DROP FUNCTION headrace.count_errors",
    "DROP TABLE headrace.run_error_counts",
)


def upgrade() -> None:
    """Adds the counts, and what keeps them."""
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """Takes them back."""
    for statement in _DOWNGRADE:
        op.execute(statement)
