"""What the database's roles cannot do, whatever is injected into their sessions; and that what an earlier release made
as the superuser is theirs after the next start."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from headrace.catalog.bootstrap import ensure_tenant, issue_key
from headrace.catalog.engine import make_engine, upgrade
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.schemas.names import FieldDefinition
from headrace.catalog.security import database_roles as catalog_roles
from headrace.catalog.security.database_roles import tenant_url
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.load.prepare import create_schemas
from headrace.connectors.postgresql.tables.quarantine import create_quarantine
from headrace.deployments.cli.app import app
from headrace.deployments.cli.doctor.database import database
from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres, ensure_database
from headrace.deployments.stack.database.setup import load_database_logins, set_up
from tests.databases import LOGINS_OF_TESTS, Roles
from tests.rest import eventually

pytestmark = pytest.mark.postgres

NOBODY = 65534
REFUSED = "42501"  # insufficient_privilege

OUT_OF_THE_DATABASE = [
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "CREATE TEMP TABLE t (x text); COPY t FROM PROGRAM 'id'",
    "CREATE TEMP TABLE t (x text); COPY t FROM '/etc/passwd'",
    "COPY (SELECT 1) TO '/tmp/headrace-was-here'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('pg_hba.conf')",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_stat_file('pg_hba.conf')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/headrace-was-here')",
    "LOAD 'auto_explain'",
]
MORE_THAN_A_ROLE = [
    "CREATE EXTENSION btree_gist",
    "CREATE EXTENSION vector",
    "CREATE LANGUAGE plpython3u",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE c AS 'libc.so.6', 'getpid'",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE internal AS 'pg_backend_pid'",
    "CREATE FOREIGN DATA WRAPPER w",
    "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw",
    "CREATE SCHEMA mine",
    "CREATE DATABASE mine",
    "CREATE EVENT TRIGGER t ON ddl_command_end EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()",
    "CREATE ROLE mine SUPERUSER",
    "CREATE TABLESPACE mine LOCATION '/tmp'",
    "CREATE PUBLICATION everything FOR ALL TABLES",
    "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1' PUBLICATION p",
    "ALTER SYSTEM SET log_statement = 'all'",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER ROLE headrace_owner PASSWORD 'x'",
    "ALTER ROLE postgres PASSWORD 'x'",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "SET session_replication_role = replica",
    "SET temp_file_limit = -1",
    "SET log_statement = 'none'",
    "SELECT pg_reload_conf()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT * FROM pg_user_mapping",
    "SELECT dblink('dbname=postgres', 'SELECT 1')",
]
BY_OTHER_STATES = {
    "CREATE EVENT TRIGGER": {"42501"},
    "CREATE SERVER": {"42704", "42501"},  # there is no such wrapper, and none can be made
    "CREATE LANGUAGE": {"0A000", "42501", "58P01"},
    "CREATE EXTENSION vector": {"42501"},
    "SELECT dblink": {"42883"},
    "ALTER ROLE CURRENT_USER": {"42501"},
}


@pytest.fixture
def world(migrated: Roles) -> Roles:
    """A catalog with a table, a key and a pipeline's worth of rows for each of two tenants."""
    engine = make_engine(migrated.api)
    for tenant in ("default", "other"):
        ensure_tenant(engine, tenant)
        issue_key(engine, tenant_id=tenant, name="k", role="admin", pepper="p" * 16)
        with Session(engine) as session, session.begin():
            TenantCatalog(session, tenant).schemas.create(
                name="orders",
                fields=[FieldDefinition("amount", "amount", "integer")],
                display_name="orders",
                description=None,
                entity_type="custom",
                schema_type="customer",
                auto_enrich=False,
            )
    engine.dispose()
    migrated.of_tenant("other")
    return migrated


def tables(roles: Roles) -> dict[str, str]:
    with psycopg.connect(roles.api) as connection:
        found = connection.execute("SELECT tenant_id, table_name FROM headrace.schemas").fetchall()
    return {str(tenant): f"public.{table}" for tenant, table in found}


def state_of(url: str, statement: str) -> str | None:
    """The SQLSTATE with which the statement ends; None when it works. What it did is taken back."""
    try:
        with psycopg.connect(url, autocommit=not statement.startswith(("CREATE TEMP", "SELECT"))) as connection:
            connection.execute(statement.encode())
            connection.rollback()
    except psycopg.Error as error:
        return error.sqlstate
    return None


@pytest.mark.parametrize("role", ["owner", "api", "run", "tenant"])
def test_no_role_gets_out_of_the_database(world: Roles, role: str) -> None:
    url = getattr(world, role)
    worked = {statement: state_of(url, statement) for statement in OUT_OF_THE_DATABASE}
    assert worked == dict.fromkeys(OUT_OF_THE_DATABASE, REFUSED)


@pytest.mark.parametrize("role", ["api", "run", "tenant"])
def test_no_role_of_facade_or_runs_becomes_more(world: Roles, role: str) -> None:
    url = getattr(world, role)
    for statement in MORE_THAN_A_ROLE:
        allowed = next((s for start, s in BY_OTHER_STATES.items() if statement.startswith(start)), {REFUSED})
        assert state_of(url, statement) in allowed, statement


def test_the_superuser_could_do_all_of_it(superuser_url: str) -> None:
    """The attacks are real: what refuses them is the role."""
    for statement in (
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT lo_import('/etc/passwd')",
        "CREATE TEMP TABLE t (x text); COPY t FROM PROGRAM 'id'",
        "CREATE EXTENSION btree_gist",
    ):
        assert statement in OUT_OF_THE_DATABASE + MORE_THAN_A_ROLE
        assert state_of(superuser_url, statement) is None


def test_what_is_injected_at_the_target_finds_no_catalog_and_no_other_tenant(world: Roles) -> None:
    theirs = tables(world)["other"]
    injected = [
        "SELECT * FROM headrace.api_keys",
        "SELECT auth_sealed FROM headrace.connectors",
        "SELECT * FROM headrace.pipeline_runs",
        "DELETE FROM headrace.audit_log",
        "SELECT * FROM headrace_admin.tenants",
        "SELECT headrace_admin.tenant_role('other', 'x')",
        f"SELECT * FROM {theirs}",
        f"INSERT INTO {theirs} (amount) VALUES (1)",
        f"TRUNCATE {theirs}",
        f"DROP TABLE {theirs}",
        f"ALTER TABLE {theirs} OWNER TO CURRENT_USER",
        f"CREATE TRIGGER t AFTER INSERT ON {theirs} EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()",
        "TRUNCATE _headrace.ledger",
        "DROP TABLE _headrace.ledger",
        "ALTER TABLE _headrace.ledger DISABLE TRIGGER ALL",
        "SET ROLE headrace_api",
        "SET ROLE headrace_run",
        "SET ROLE headrace_owner",
        "SET ROLE headrace_roles",
    ]
    assert {each: state_of(world.tenant, each) for each in injected} == dict.fromkeys(injected, REFUSED)
    # A function that changes the role within a statement, which the server would accept as one statement.
    for role in ("headrace_api", "headrace_run", "postgres"):
        assert state_of(world.tenant, f"SELECT set_config('role', '{role}', false)") == REFUSED
    mine = tables(world)["default"]
    reset = f"RESET ROLE; RESET SESSION AUTHORIZATION; INSERT INTO {mine} (amount) VALUES (1); SELECT * FROM {theirs}"
    assert state_of(world.tenant, reset) == REFUSED
    assert state_of(world.tenant, f"SELECT * FROM {mine}") is None


def test_a_quarantine_table_of_another_tenant_is_refused_before_a_row_is_read(world: Roles) -> None:
    with psycopg.connect(world.tenant, autocommit=True) as connection:
        create_quarantine(connection, ["dlq.orders"])
        create_quarantine(connection, ["dlq.orders"])
    with (
        psycopg.connect(world.of_tenant("other"), autocommit=True) as connection,
        pytest.raises(TargetError, match=r"dlq\.orders is in use by another tenant") as refused,
    ):
        create_quarantine(connection, ["dlq.orders"])
    assert refused.value.code == "quarantine_taken"


def test_a_run_knows_of_the_catalog_what_it_needs(world: Roles) -> None:
    injected = [
        "SELECT * FROM headrace.api_keys",
        "UPDATE headrace.connectors SET config = '{}'",
        "UPDATE headrace.connectors SET auth_sealed = NULL",
        "UPDATE headrace.pipelines SET live_version = 1",
        "UPDATE headrace.pipeline_ir_versions SET ir = '{}'",
        "INSERT INTO headrace.tenants (id, name) VALUES ('x', 'x')",
        "DELETE FROM headrace.audit_log",
        "UPDATE headrace.audit_log SET action = 'x'",
        "CREATE TABLE headrace.mine (x int)",
    ]
    assert {each: state_of(world.run, each) for each in injected} == dict.fromkeys(injected, REFUSED)


def test_the_facade_adds_to_the_audit_log_and_changes_nothing_of_it(world: Roles) -> None:
    for statement in (
        "UPDATE headrace.audit_log SET action = 'x'",
        "DELETE FROM headrace.audit_log",
        "TRUNCATE headrace.audit_log",
        "ALTER TABLE headrace.audit_log DISABLE TRIGGER ALL",
        "DROP TRIGGER append_only ON headrace.audit_log",
    ):
        assert state_of(world.api, statement) == REFUSED


def test_every_table_of_the_catalog_says_what_a_run_may_do_with_it(world: Roles) -> None:
    with psycopg.connect(world.owner) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'headrace'").fetchall()
    assert {name for (name,) in found} == set(catalog_roles.RUN_GRANTS), "say it in catalog/security/database_roles.py"


def test_a_function_in_public_is_harmless(world: Roles) -> None:
    """A name that a statement does not qualify is PostgreSQL's, whatever a tenant puts into `public`."""
    with psycopg.connect(world.tenant, autocommit=True) as connection:
        connection.execute("CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql AS $$ SELECT 'hijacked' $$")
        connection.execute("CREATE FUNCTION public.hijacked() RETURNS text LANGUAGE sql AS $$ SELECT 'hijacked' $$")
    for url in (world.owner, world.api, world.run, world.tenant):
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT lower('A'::varchar)").fetchone() == ("a",)
            with pytest.raises(psycopg.errors.UndefinedFunction):
                connection.execute("SELECT hijacked()")


def test_each_role_is_bounded(world: Roles) -> None:
    names = ("temp_file_limit", "idle_in_transaction_session_timeout", "statement_timeout", "search_path")
    for role, url in (("api", world.api), ("run", world.run), ("tenant", world.tenant)):
        with psycopg.connect(url) as connection:
            asked = ", ".join(f"current_setting('{name}')" for name in names)
            found = connection.execute(f"SELECT {asked}, rolconnlimit FROM pg_roles WHERE rolname = current_user")
            files, idle, statement, path, most = found.fetchone() or ()
        assert (files, path) == ("8GB", "pg_catalog, pg_temp")
        assert idle != "0"
        assert (statement != "0") == (role == "api")
        assert most > 0


def test_nobody_logs_in_as_another(world: Roles, roles: Roles) -> None:
    for user in ("headrace_owner", "headrace_api", "headrace_run"):
        for password in ("", "x", LOGINS_OF_TESTS.passwords["headrace_prefect"]):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(roles.superuser, user=user, password=password).close()


def lets_in(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


# -- a data folder of an earlier release -------------------------------------------------------------------------------


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="headrace-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.slow
def test_what_the_superuser_had_made_is_the_roles_after_the_next_start(folder: Path) -> None:
    """As the release before made it: trust for everybody, the superuser for everything."""
    server = EmbeddedPostgres(folder / "data", folder / "log", DISPOSABLE)
    server.start()
    try:
        ensure_database(server.url("postgres"), "headrace")
        ensure_database(server.url("postgres"), "headrace_prefect")
        old = server.url("headrace")
        upgrade(old)
        create_schemas(old)
        engine = make_engine(old)
        for tenant in ("default", "other"):
            ensure_tenant(engine, tenant)
            with Session(engine) as session, session.begin():
                TenantCatalog(session, tenant).schemas.create(
                    name="orders",
                    fields=[FieldDefinition("amount", "amount", "integer")],
                    display_name="orders",
                    description=None,
                    entity_type="custom",
                    schema_type="customer",
                    auto_enrich=False,
                )
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO public.ds_orders (amount) VALUES (1)"))
            connection.execute(text("CREATE TYPE public.colour AS ENUM ('red')"))
            connection.execute(text("CREATE TABLE public.theirs (c public.colour, n serial)"))
            connection.execute(text("CREATE TABLE _headrace.stage_x (n int)"))
        engine.dispose()
        with psycopg.connect(server.url("headrace_prefect")) as connection:
            connection.execute("CREATE TYPE state AS ENUM ('x'); CREATE TABLE flow (s state, n serial)")
        server.stop()
        (folder / "data" / "pg_hba.conf").write_text("local all all trust\n")

        server = EmbeddedPostgres(folder / "data", folder / "log", DISPOSABLE)
        server.start()
        logins = load_database_logins(folder / "secrets.json")
        urls = set_up(server.url, server.url, logins, database="headrace", prefect="headrace_prefect")
        server.block_superuser()
        upgrade(urls.owner)

        assert (folder / "secrets.json").stat().st_mode & 0o777 == 0o600
        eventually(lambda: None if lets_in(old) else True)  # the server reads its rules soon
        mine = tenant_url(make_engine(urls.run), urls.run, "default", logins.tenant_login_key)
        with psycopg.connect(mine) as connection:
            assert connection.execute("SELECT amount FROM public.ds_orders").fetchall() == [(1,)]
            connection.execute("TRUNCATE public.ds_orders; ALTER TABLE public.ds_orders ADD COLUMN x int")
            connection.execute("INSERT INTO public.ds_orders (amount) VALUES (2)")
            connection.execute("SELECT * FROM _headrace.ledger")
            connection.execute("DROP TABLE _headrace.stage_x")
        with psycopg.connect(urls.owner) as connection:
            connection.execute("ALTER TYPE public.colour ADD VALUE 'blue'; ALTER TABLE public.theirs ADD x int")
        with psycopg.connect(urls.prefect) as connection:
            connection.execute("ALTER TABLE public.flow ADD x int; ALTER TYPE public.state ADD VALUE 'y'")
        for url in (urls.owner, urls.api, urls.run):
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(url, dbname="headrace_prefect").close()
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(urls.prefect, dbname="headrace").close()
        # once more: nothing changes, and what is there stays usable
        again = EmbeddedPostgres(folder / "data", folder / "log", DISPOSABLE)
        again.start()
        assert (
            set_up(
                again.url,
                again.url,
                load_database_logins(folder / "secrets.json"),
                database="headrace",
                prefect="headrace_prefect",
            )
            == urls
        )
        psycopg.connect(mine).close()
    finally:
        server.stop()


def test_the_roles_can_be_made_on_a_server_of_ones_own(folder: Path) -> None:
    """`headrace db roles` with a superuser's URL, twice, and what the doctor says before and afterwards."""
    server = EmbeddedPostgres(folder / "data", folder / "log", DISPOSABLE)
    server.start()
    try:
        ensure_database(server.url("postgres"), "shop")
        upgrade(server.url("shop"))
        assert ("database role", "warning") in verdicts(server.url("shop"))
        arguments = ["db", "roles", "--database-url", server.url("shop"), "--secrets", str(folder / "secrets.json")]
        first, second = (CliRunner().invoke(app, arguments) for _ in range(2))
        assert (first.exit_code, second.exit_code) == (0, 0), first.output
        assert first.stdout == second.stdout
        given = dict(line.split("=", 1) for line in first.stdout.splitlines())
        assert set(given) == {
            "HEADRACE_OWNER_DATABASE_URL",
            "HEADRACE_DATABASE_URL",
            "HEADRACE_RUN_DATABASE_URL",
            "HEADRACE_TENANT_LOGIN_KEY",
            "HEADRACE_PREFECT_DATABASE_URL",
        }
        urls = {name: value.strip('"') for name, value in given.items()}
        upgraded = CliRunner().invoke(app, ["db", "upgrade"], env=urls)
        assert upgraded.exit_code == 0, upgraded.output
        for name in ("HEADRACE_OWNER_DATABASE_URL", "HEADRACE_DATABASE_URL"):
            found = verdicts(urls[name])
            assert {verdict for _, verdict in found} == {"ok"}, found
        run = make_engine(urls["HEADRACE_RUN_DATABASE_URL"])
        mine = tenant_url(run, urls["HEADRACE_RUN_DATABASE_URL"], "default", urls["HEADRACE_TENANT_LOGIN_KEY"])
        run.dispose()
        assert state_of(mine, "SELECT * FROM _headrace.ledger") is None
        assert state_of(mine, "SELECT * FROM headrace.api_keys") == REFUSED
        printed = CliRunner().invoke(app, ["db", "roles", "--sql"])
        assert "PASSWORD '" not in printed.stdout
    finally:
        server.stop()


def verdicts(url: str) -> list[tuple[str, str]]:
    return [(finding.check, finding.verdict) for finding in database(url)]


def test_another_user_of_the_machine_gets_nowhere(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    server = EmbeddedPostgres(folder / "data", folder / "log", DISPOSABLE)
    server.start()
    try:
        folder.chmod(0o755)
        # A fork: the interpreter's own folder may be closed to another user.
        read_end, write_end = os.pipe()
        if (child := os.fork()) == 0:
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                psycopg.connect(server.url("postgres"), connect_timeout=5)
                os.write(write_end, b"it is in")
            except (psycopg.Error, OSError) as error:
                os.write(write_end, str(error).encode())
            finally:
                os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end, "r") as pipe:
            reported = pipe.read()
        os.waitpid(child, 0)
        assert "ermission denied" in reported or "authentication failed" in reported, reported
    finally:
        server.stop()
