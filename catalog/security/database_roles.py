"""The database roles, their rights in the catalog, and the logins of tenants' runs."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, Engine, text

OWNER, API, RUN = "headrace_owner", "headrace_api", "headrace_run"
DATA, ROLES, PREFECT = "headrace_data", "headrace_roles", "headrace_prefect"

RUN_GRANTS: Mapping[str, str] = {
    "alembic_version": "SELECT",
    "api_keys": "",
    "applied_sets": "",
    "audit_heads": "SELECT, INSERT, UPDATE",
    "audit_log": "SELECT, INSERT",
    "console_sessions": "",
    "connectors": "SELECT, UPDATE (last_sync_row_count, last_sync_at)",
    "deployment_changes": "",
    "due_runs": "",
    "found_columns": "SELECT, INSERT, UPDATE, DELETE",
    "hook_keys": "",
    "hook_readers": "SELECT, INSERT, UPDATE",
    "hook_records": "SELECT, DELETE",
    "hook_spools": "SELECT, UPDATE",
    "partition_seconds": "SELECT, UPDATE",
    "pipeline_ir_versions": "SELECT",
    "pipeline_runs": "SELECT, INSERT, UPDATE",
    "pipelines": "SELECT, UPDATE (status, last_run_at, last_run_status, updated_at)",
    "replication_requests": "",
    "replication_run_tables": "SELECT, UPDATE (status, child_run_id, message, started_at, finished_at)",
    "replication_runs": "SELECT, INSERT, UPDATE",
    "replication_tables": "SELECT",
    "replications": "SELECT, UPDATE (last_run_at, last_run_status)",
    "run_error_counts": "SELECT, INSERT, UPDATE, DELETE",
    "run_errors": "SELECT, INSERT, UPDATE, DELETE",
    "run_log": "SELECT, INSERT, UPDATE, DELETE",
    "run_nodes": "SELECT, INSERT, UPDATE, DELETE",
    "run_partitions": "SELECT, INSERT, UPDATE, DELETE",
    "run_requests": "SELECT",
    "run_totals": "SELECT, INSERT, UPDATE",
    "schema_fields": "SELECT, INSERT",
    "schema_statistics": "SELECT, DELETE",
    "schemas": "SELECT, UPDATE",
    "tenants": "SELECT",
    "yaml_connector_versions": "SELECT",
    "yaml_connectors": "SELECT",
}
"""The rights of runs by table of the catalog; none for other tables. Runs cannot read API keys, and change only the
results of a sync in connectors."""

_HERE = "SELECT count(*) = 2 FROM pg_roles WHERE rolname IN (:api, :run)"

_MINE = "SELECT pg_get_userbyid(nspowner) = current_user FROM pg_namespace WHERE nspname = 'headrace'"

_TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'headrace' AND c.relkind IN ('r', 'p')
"""


def grant(connection: Connection) -> None:
    """Grants the roles their rights in the current catalog, in the caller's transaction, which must be the owner's.
    Does nothing if the roles are not set up: then one role does everything."""
    there = connection.execute(text(_HERE), {"api": API, "run": RUN}).scalar_one()
    if not there or not connection.execute(text(_MINE)).scalar():
        return
    tables = set(connection.execute(text(_TABLES)).scalars())
    connection.exec_driver_sql(";\n".join(statements(tables)))


def statements(tables: set[str]) -> list[str]:
    """Returns the GRANT and REVOKE statements for these tables of the catalog."""
    made = [
        f"GRANT USAGE ON SCHEMA headrace TO {API}, {RUN}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA headrace TO {API}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA headrace TO {API}, {RUN}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA headrace FROM {RUN}",
    ]
    if "audit_log" in tables:  # entries can only be added
        made.append(f"REVOKE UPDATE, DELETE ON headrace.audit_log FROM {API}")
    return made + [
        f"GRANT {RUN_GRANTS[table]} ON headrace.{table} TO {RUN}" for table in sorted(tables) if RUN_GRANTS.get(table)
    ]


TENANT_ROLE = "headrace_admin.tenant_role(text, text)"
"""The function that makes a tenant's role. If it does not exist, the roles are not set up."""

_ITERATIONS = 1
"""More iterations protect guessable passwords; these have 256 random bits, and every connection would take longer."""

_THERE = text("SELECT to_regprocedure(:function) IS NOT NULL")
_ROLE = text("SELECT headrace_admin.tenant_role(:tenant, :verifier)")


def verifier(password: str, salt: bytes) -> str:
    """Returns the SCRAM-SHA-256 verifier of a password, as PostgreSQL stores it. It cannot be used to log in, so it may
    be sent and logged."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored, server = hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")
    first, second, third = (base64.b64encode(each).decode() for each in (salt, stored, server))
    return f"SCRAM-SHA-256${_ITERATIONS}:{first}${second}:{third}"


def derive_secret(key: str, purpose: str) -> bytes:
    """Derives 32 bytes for one purpose from a secret."""
    return hmac.digest(key.encode(), purpose.encode(), "sha256")


def with_login(url: str, user: str, password: str) -> str:
    """Returns the libpq URL or connection string with another login, as a connection string."""
    parts = {name: value for name, value in conninfo_to_dict(url).items() if name not in ("user", "password")}
    return make_conninfo("", **parts, user=user, password=password)


def tenant_url(engine: Engine, url: str, tenant_id: str, key: str | None) -> str:
    """Returns `url` with the login of the tenant, which is created or updated if needed. `engine` is the run's catalog.
    Returns `url` unchanged without a key (`HEADRACE_TENANT_LOGIN_KEY`), or if the roles are not set up.

    No connection is tried: the function knows which password it set last.
    """
    if not key:
        return url
    database = conninfo_to_dict(url).get("dbname") or ""
    password = derive_secret(key, f"password of {tenant_id} in {database}").hex()
    salt = derive_secret(key, f"salt of {tenant_id} in {database}")[:16]
    with engine.begin() as connection:
        if not connection.execute(_THERE, {"function": TENANT_ROLE}).scalar_one():
            return url
        role = connection.execute(_ROLE, {"tenant": tenant_id, "verifier": verifier(password, salt)}).scalar_one()
    return with_login(url, str(role), password)
