"""The SQL that creates Headrace's database roles (described in `catalog.security.database_roles`). A superuser executes
it; a repetition changes nothing except to correct manual changes.

`server_sql` is for the server, `database_sql` and `prefect_sql` for the two databases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.catalog.security.database_roles import API, DATA, OWNER, PREFECT, ROLES, RUN

LOGINS = (OWNER, API, RUN, PREFECT)


@dataclass(frozen=True, slots=True)
class Limits:
    """The maximum number of connections of each role; `tenant` is for all runs of one tenant."""

    owner: int = 10
    api: int = 60
    run: int = 60
    prefect: int = 40
    tenant: int = 60


def server_sql(limits: Limits, verifiers: Mapping[str, str]) -> str:
    """Creates the roles. `verifiers` are passwords as PostgreSQL stores them, by role; other passwords are kept."""
    plain = "NOSUPERUSER NOCREATEDB NOREPLICATION NOBYPASSRLS"
    allowed = {OWNER: limits.owner, API: limits.api, RUN: limits.run, PREFECT: limits.prefect}
    made = [
        _create_role_sql(DATA, f"NOLOGIN NOCREATEROLE {plain}"),
        _create_role_sql(ROLES, f"NOLOGIN CREATEROLE {plain}"),
    ]
    for role, most in allowed.items():
        password = f" PASSWORD '{verifiers[role]}'" if role in verifiers else ""
        made.append(_create_role_sql(role, f"LOGIN NOCREATEROLE {plain} CONNECTION LIMIT {most}{password}"))
        made += _role_settings_sql(role)
    return ";\n".join(
        [
            *made,
            # It may grant the role that all tenants share, without having its rights.
            f"GRANT {DATA} TO {ROLES} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
            f"GRANT {DATA} TO {OWNER}, {API}, {RUN}",
            f"GRANT SET ON PARAMETER temp_file_limit TO {ROLES}",
            f"GRANT pg_use_reserved_connections TO {OWNER}, {API}, {PREFECT}",
            f"GRANT pg_checkpoint TO {OWNER}",
        ]
    )


def database_sql(limits: Limits, database: str) -> str:
    """Prepares Headrace's database, executed in it: objects of the superuser get the owner or tenant as new owner."""
    return ";\n".join(
        [
            database_access_sql(database),
            *(f"CREATE SCHEMA IF NOT EXISTS {schema}" for schema in ("headrace", "_headrace", "dlq", "headrace_admin")),
            *(f"ALTER SCHEMA {schema} OWNER TO {OWNER}" for schema in ("headrace", "_headrace", "dlq")),
            f"ALTER SCHEMA headrace_admin OWNER TO {ROLES}",
            "REVOKE ALL ON SCHEMA public FROM PUBLIC",
            f"GRANT USAGE, CREATE ON SCHEMA public, _headrace, dlq TO {DATA}",
            "REVOKE ALL ON SCHEMA headrace_admin FROM PUBLIC",
            f"GRANT USAGE ON SCHEMA headrace_admin TO {OWNER}, {API}, {RUN}",
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA _headrace "
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {DATA}",
            # The hooks of runs may refresh materialized views of the owner.
            "DO $$ BEGIN IF current_setting('server_version_num')::int >= 170000 THEN "
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT MAINTAIN ON TABLES TO {DATA}; "
            "END IF; END $$",
            "CREATE TABLE IF NOT EXISTS headrace_admin.tenants "
            "(tenant text PRIMARY KEY, role name NOT NULL, verifier text)",
            f"ALTER TABLE headrace_admin.tenants OWNER TO {ROLES}",
            _TENANT_ROLE.format(most=limits.tenant, data=DATA, owner=OWNER, api=API, run=RUN),
            f"ALTER FUNCTION headrace_admin.tenant_role(text, text) OWNER TO {ROLES}",
            "REVOKE ALL ON FUNCTION headrace_admin.tenant_role(text, text) FROM PUBLIC",
            f"GRANT EXECUTE ON FUNCTION headrace_admin.tenant_role(text, text) TO {OWNER}, {API}, {RUN}",
            _CHANGE_OWNERS.format(owner=OWNER, data=DATA),
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA _headrace TO {DATA}",
        ]
    )


def database_access_sql(database: str) -> str:
    """Owner and connection rights of Headrace's database, which a copy of the database does not include."""
    name = _quoted_name(database)
    return ";\n".join(
        [
            f"ALTER DATABASE {name} OWNER TO {OWNER}",
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
            f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {DATA}",
        ]
    )


def prefect_sql(database: str) -> str:
    """Prepares Prefect's database, executed in it."""
    name = _quoted_name(database)
    return ";\n".join(
        [
            f"ALTER DATABASE {name} OWNER TO {PREFECT}",
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
            _CHANGE_OWNERS.format(owner=PREFECT, data=PREFECT),
        ]
    )


def _create_role_sql(role: str, attributes: str) -> str:
    return (
        f"DO $$ BEGIN IF to_regrole('{role}') IS NULL THEN CREATE ROLE {role}; END IF; END $$;\n"
        f"ALTER ROLE {role} {attributes}"
    )


def _role_settings_sql(role: str) -> list[str]:
    """Session settings of a role. Only a superuser may change `temp_file_limit`. The search path finds unqualified
    names in PostgreSQL's own schema and temporary tables only, not in `public`."""
    if role == PREFECT:
        return [f"ALTER ROLE {role} SET idle_in_transaction_session_timeout = '10min'"]
    kept = {
        "search_path": "pg_catalog, pg_temp",
        "temp_file_limit": "'8GB'",
        "idle_in_transaction_session_timeout": "'10min'",
    }
    if role == API:
        kept |= {"statement_timeout": "'5min'", "idle_in_transaction_session_timeout": "'2min'"}
    return [f"ALTER ROLE {role} SET {name} = {value}" for name, value in kept.items()]


def _quoted_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_TENANT_ROLE = """
CREATE OR REPLACE FUNCTION headrace_admin.tenant_role(of_tenant text, new_verifier text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- of this database: roles are the server's, and two databases may have a tenant of one name
  named text := 'headrace_t_'
    || left(encode(sha256(convert_to(current_database() || '/' || of_tenant, 'UTF8')), 'hex'), 20);
  known headrace_admin.tenants;
BEGIN
  SELECT * INTO known FROM headrace_admin.tenants WHERE tenant = of_tenant;
  IF known.role = named AND to_regrole(named) IS NOT NULL
     AND (new_verifier IS NULL OR new_verifier = known.verifier) THEN
    RETURN named;
  END IF;
  PERFORM pg_advisory_xact_lock(1316842565);
  IF to_regrole(named) IS NULL THEN
    EXECUTE format('CREATE ROLE %I LOGIN CONNECTION LIMIT {most} IN ROLE {data}', named);
    EXECUTE format('ALTER ROLE %I SET search_path = pg_catalog, pg_temp', named);
    EXECUTE format('ALTER ROLE %I SET temp_file_limit = %L', named, '8GB');
    EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', named, '10min');
    EXECUTE format('GRANT %I TO {owner}, {api}, {run}', named);
  END IF;
  IF new_verifier IS NOT NULL THEN
    EXECUTE format('ALTER ROLE %I PASSWORD %L', named, new_verifier);
  END IF;
  INSERT INTO headrace_admin.tenants AS t VALUES (of_tenant, named, new_verifier)
  ON CONFLICT (tenant) DO UPDATE SET role = excluded.role, verifier = coalesce(excluded.verifier, t.verifier);
  RETURN named;
END $$
"""

# Objects of earlier releases belong to the superuser. Members of extensions are not changed.
_CHANGE_OWNERS = """
DO $$
DECLARE
  mine oid := (SELECT oid FROM pg_roles WHERE rolname = current_user);
  thing record;
  new_owner text;
  loaded_by text;
BEGIN
  FOR thing IN
    SELECT c.oid, c.relkind, n.nspname, c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relowner = mine AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND (d.deptype = 'e' OR c.relkind = 'S' AND d.deptype IN ('a', 'i')))
  LOOP
    new_owner := '{owner}';
    IF '{data}' <> '{owner}' THEN
      IF thing.nspname = '_headrace' AND thing.relname LIKE 'stage\\_%' THEN
        new_owner := '{data}';
      ELSIF thing.nspname = 'public' AND to_regclass('headrace.schemas') IS NOT NULL THEN
        SELECT headrace_admin.tenant_role(s.tenant_id) INTO loaded_by
        FROM headrace.schemas s WHERE s.table_name = regexp_replace(thing.relname, '__(new|backup_.*)$', '');
        new_owner := coalesce(loaded_by, new_owner);
      ELSIF thing.nspname = 'dlq' AND thing.relkind = 'r' THEN
        BEGIN
          EXECUTE format('SELECT headrace_admin.tenant_role(r.tenant_id) FROM dlq.%I q
                          JOIN headrace.pipeline_runs r ON r.id = q.run_id LIMIT 1', thing.relname) INTO loaded_by;
          new_owner := coalesce(loaded_by, new_owner);
        EXCEPTION WHEN undefined_table OR undefined_column THEN
          NULL;  -- a table of somebody's own
        END;
      END IF;
    END IF;
    EXECUTE format('ALTER %s %I.%I OWNER TO %I', CASE thing.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW'
      WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END,
      thing.nspname, thing.relname, new_owner);
  END LOOP;
  FOR thing IN
    SELECT p.oid::regprocedure AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.proowner = mine AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  LOOP
    EXECUTE format('ALTER ROUTINE %s OWNER TO %I', thing.name, '{owner}');
  END LOOP;
  FOR thing IN
    SELECT t.oid::regtype AS name FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typowner = mine AND t.typtype IN ('e', 'd', 'r') AND n.nspname !~ '^pg_'
      AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend d
        WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
  LOOP
    EXECUTE format('ALTER TYPE %s OWNER TO %I', thing.name, '{owner}');
  END LOOP;
  FOR thing IN
    SELECT n.nspname FROM pg_namespace n WHERE n.nspowner = mine AND n.nspname !~ '^pg_'
      AND n.nspname NOT IN ('information_schema', 'public')
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
  LOOP
    EXECUTE format('ALTER SCHEMA %I OWNER TO %I', thing.nspname, '{owner}');
  END LOOP;
END $$
"""
