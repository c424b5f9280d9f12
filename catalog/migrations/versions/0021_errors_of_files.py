"""Errors are found by the source file of their row; what is written for each costs less than before.

The indexes took 5 s for a million errors. Runs that record errors wait meanwhile, and at the end, for a moment, readers
of runs and errors."""

from __future__ import annotations

from alembic import op

revision = "0021_errors_of_files"
down_revision = "0020_log_levels_and_due_runs"
branch_labels = None
depends_on = None

# Rows of joins have several sources. Those of more than three, which are few, are found without their file.
_INDEXES = (
    ("file_1", "sources->0->>'file'", "sources->0->>'file' IS NOT NULL"),
    ("file_2", "sources->1->>'file'", "jsonb_array_length(sources) > 1"),
    ("file_3", "sources->2->>'file'", "jsonb_array_length(sources) > 2"),
    ("more_files", "''", "jsonb_array_length(sources) > 3"),
)

_UPGRADE = (
    """
    CREATE FUNCTION headrace.error_key(root text, node text, rule text, col text, warned boolean, file text)
    RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT pg_catalog.hashtextextended(root || '/' || node || '/' || rule || '/' || col || '/' || file,
                                           CASE WHEN warned THEN 1 ELSE 0 END)
    $$
    """,
    *(
        f"""CREATE INDEX run_errors_{name} ON headrace.run_errors
            (headrace.error_key(root_run_id, node_id, rule, "column", warning, {file}), "row") WHERE {condition}"""
        for name, file, condition in _INDEXES
    ),
    # A foreign key is checked for each error, which takes a quarter of the processor time of recording it, and its
    # index a tenth. The store checks the run once for all errors of a batch.
    "ALTER TABLE headrace.run_errors DROP CONSTRAINT run_errors_run_id_fkey",
    "DROP INDEX headrace.run_errors_run",
    """
    CREATE FUNCTION headrace.delete_errors() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        DELETE FROM headrace.run_errors e USING gone
        WHERE e.root_run_id IN (gone.root_run_id, gone.id) AND e.run_id = gone.id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER delete_errors AFTER DELETE ON headrace.pipeline_runs REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION headrace.delete_errors()
    """,
)

_DOWNGRADE = (
    "DROP TRIGGER delete_errors ON headrace.pipeline_runs",
    "DROP FUNCTION headrace.delete_errors",
    "DELETE FROM headrace.run_errors WHERE run_id NOT IN (SELECT id FROM headrace.pipeline_runs)",
    "CREATE INDEX run_errors_run ON headrace.run_errors (run_id)",
    """
    ALTER TABLE headrace.run_errors ADD CONSTRAINT run_errors_run_id_fkey
    FOREIGN KEY (run_id) REFERENCES headrace.pipeline_runs ON DELETE CASCADE
    """,
    *(f"DROP INDEX headrace.run_errors_{name}" for name, *_ in _INDEXES),
    "DROP FUNCTION headrace.error_key",
)


def upgrade() -> None:
    """Adds the indexes; runs delete their errors by a trigger, no longer by a foreign key."""
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """Takes them back."""
    for statement in _DOWNGRADE:
        op.execute(statement)
