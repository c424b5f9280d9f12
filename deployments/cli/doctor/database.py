"""Checks of PostgreSQL: version, role, permissions, migrations, and pipelines that Prefect refuses."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.deployments.cli.doctor.finding import TIMEOUT_S, Finding
from headrace.deployments.extras import install, missing

_OLDEST_POSTGRES = 140000


def database(url: str | None) -> Iterator[Finding]:
    """PostgreSQL: reachable, recent enough, migrated, and its user has the permissions needed."""
    if url is None:
        remedy = "Set HEADRACE_DATABASE_URL, or start a stack; remotely only the API can be checked."
        yield Finding("database", "warning", "its address is not known", remedy)
        return
    if missing("engine"):
        yield Finding("database", "warning", "cannot be checked without the extra 'engine'", install("engine"))
        return
    import psycopg
    from sqlalchemy.exc import SQLAlchemyError

    from headrace.catalog.engine import current, head
    from headrace.catalog.security.database_roles import API, OWNER
    from headrace.connectors.postgresql.error_messages import error_message

    try:
        with psycopg.connect(url, connect_timeout=int(TIMEOUT_S)) as connection:
            facts = connection.execute(_FACTS).fetchone()
    except psycopg.Error as error:
        yield Finding(
            "database", "failed", error_message(error), "Check HEADRACE_DATABASE_URL, and that PostgreSQL runs."
        )
        return
    assert facts is not None, "a query without FROM has one row"
    number, name, user, tables, schemas, recovering, taken, most, superuser, roles = facts
    if recovering:
        yield Finding("database", "failed", "it is a read-only replica", "Give the URL of the primary.")
    elif number < _OLDEST_POSTGRES:
        yield Finding("database", "failed", f"PostgreSQL {name}", "Use PostgreSQL 14 or newer.")
    else:
        yield Finding("database", "ok", f"PostgreSQL {name}, {taken} of {most} connections taken")
    if superuser:
        remedy = "`headrace db roles` makes roles that may do what they must and no more: see docs/database.md."
        yield Finding("database role", "warning", f"{user} is a superuser", remedy)
    elif roles and user not in (OWNER, API):
        yield Finding("database role", "warning", f"{user} is none of Headrace's roles", "See docs/operations.md.")
    else:
        yield Finding("database role", "ok", str(user))
    if roles:
        yield Finding("permissions", "ok", "Headrace's roles are made")
    elif tables and schemas:
        yield Finding("permissions", "ok", f"{user} may create schemas, and tables in public")
    else:
        grants = ["GRANT CREATE ON SCHEMA public"] * (not tables) + ["GRANT CREATE ON DATABASE …"] * (not schemas)
        yield Finding("permissions", "failed", f"{user} may not create all it has to", f"{'; '.join(grants)} TO {user}")
    try:
        revision = current(url)
    except SQLAlchemyError as error:
        yield Finding("migrations", "failed", error_message(error), "See permissions.")
        return
    if revision == head():
        yield Finding("migrations", "ok", str(revision))
        yield from _registrations(url)
    else:
        yield Finding("migrations", "failed", f"at {revision}, not {head()}", "`headrace db upgrade`.")


def _registrations(url: str) -> Iterator[Finding]:
    """Pipelines that Prefect refuses, whose schedules do not fire, and streams that fail again and again."""
    from headrace.catalog.deployment_changes import DeploymentChanges
    from headrace.catalog.engine import make_engine
    from headrace.catalog.runs.streams import StreamStore
    from headrace.deployments.sync.streams import failing
    from headrace.flows.prefect.names import CANCELLED

    engine = make_engine(url)
    try:
        for name, problem in DeploymentChanges(engine).refused():
            remedy = "Change it (`issues` of the pipeline says the same); it is tried again at every change."
            yield Finding("pipeline", "failed", f"{name}: {problem}", remedy)
        for ended in StreamStore(engine).ended(CANCELLED):
            if (told := failing(ended)) is not None:
                remedy = "Correct what it says, or pause the pipeline; `headrace run` starts it at once."
                yield Finding("stream", "failed", f"{ended.pipeline_name}: {told}", remedy)
    finally:
        engine.dispose()


_FACTS = """
    SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_user::text,
           has_schema_privilege('public', 'CREATE'),
           has_database_privilege(current_database(), 'CREATE'),
           pg_is_in_recovery(),
           (SELECT count(*) FROM pg_stat_activity), current_setting('max_connections')::int,
           (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), to_regnamespace('headrace_admin') IS NOT NULL
"""
