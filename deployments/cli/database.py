"""`headrace db`: migrate the catalog, create the database roles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from headrace.deployments.cli.output import fail, out
from headrace.deployments.extras import require
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR, Layout
from headrace.deployments.stack.state import StackState

database = typer.Typer(no_args_is_help=True, help="The catalog's database.")

DataDir = Annotated[Path, typer.Option("--data-dir", envvar="HEADRACE_DATA_DIR", help="The stack's data folder.")]


@database.command()
def upgrade(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    url: Annotated[
        str | None,
        typer.Option(
            "--database-url",
            envvar=["HEADRACE_OWNER_DATABASE_URL", "HEADRACE_DATABASE_URL"],
            help="libpq URL; without it the running stack's.",
        ),
    ] = None,
) -> None:
    """Bring the catalog to the newest migration."""
    require("engine", "`headrace db upgrade`")
    import psycopg
    from sqlalchemy.exc import SQLAlchemyError

    from headrace.catalog.engine import current
    from headrace.catalog.engine import upgrade as migrate
    from headrace.connectors.postgresql.error_messages import error_message
    from headrace.connectors.postgresql.load.prepare import create_schemas

    state = StackState.read(Layout.of(data_dir).state)
    address = url or (state.database_url if state is not None else None)
    if address is None:
        fail("No database.", "Give --database-url or HEADRACE_DATABASE_URL, or start a stack with `headrace up`.")
    try:
        migrate(address)
        create_schemas(address)
        out.print(f"the catalog is at {current(address)}")
    except (SQLAlchemyError, psycopg.Error) as error:
        fail(f"The catalog could not be brought up to date: {error_message(error)}")


@database.command()
def roles(
    url: Annotated[
        str | None,
        typer.Option("--database-url", help="libpq URL of Headrace's database, as a superuser; made when missing."),
    ] = None,
    secrets: Annotated[
        Path, typer.Option(help="A file (0600) that keeps the passwords; the same again gives the same.")
    ] = Path("headrace-database.json"),
    sql: Annotated[bool, typer.Option("--sql", help="Only print the SQL, without passwords.")] = False,
    tenant_connections: Annotated[int, typer.Option(min=4, help="At most so many for each tenant's runs.")] = 60,
) -> None:
    """Create Headrace's database roles on your PostgreSQL server, and print the settings of its components.

    Can be repeated: it then only corrects what was changed. The roles get tables that a superuser had created.
    """
    require("engine", "`headrace db roles`")
    import psycopg

    from headrace.connectors.postgresql.error_messages import error_message
    from headrace.deployments.cli.database_roles import make_roles, names_of, sql_text
    from headrace.deployments.stack.database.roles import Limits

    limits = Limits(tenant=tenant_connections)
    if sql:
        sys.stdout.write(sql_text(*names_of(url), limits))
        return
    if url is None:
        fail("No database.", "Give --database-url with a superuser's login, or --sql to see what would be done.")
    try:
        for name, value in make_roles(url, secrets, limits).items():
            sys.stdout.write(f'{name}="{value}"\n')
    except psycopg.Error as error:
        fail(
            f"The roles could not be made: {error_message(error)}",
            "It needs a superuser (or run the SQL that --sql prints).",
        )
