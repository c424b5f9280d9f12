"""`headrace keys`: API keys from the command line; needs access to the database and its secrets."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headrace.deployments.errors import HeadraceError
from headrace.deployments.extras import require
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR, TENANT, Layout
from headrace.deployments.stack.private_files import read_json
from headrace.deployments.stack.state import StackState
from headrace.deployments.stack.tenant_folders import make_folders, roots_of

if TYPE_CHECKING:
    from headrace.catalog.repositories import TenantCatalog

keys = typer.Typer(no_args_is_help=True, help="API keys and the keys that seal credentials.")

_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="HEADRACE_DATA_DIR", help="The folder of the stack the keys belong to.")
]
Url = Annotated[
    str | None,
    typer.Option(
        "--database-url", envvar="HEADRACE_DATABASE_URL", help="libpq URL; without it the running stack's database."
    ),
]
TenantId = Annotated[str, typer.Option("--tenant", help="The tenant the key speaks for.")]


@keys.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    role: Annotated[str, typer.Option(help="admin, editor or viewer.")] = "viewer",
    days: Annotated[int | None, typer.Option(min=1, help="It expires after so many days; never unless given.")] = None,
    tenant: TenantId = TENANT,
    new_tenant: Annotated[bool, typer.Option("--new-tenant", help="Create the tenant if there is none.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    url: Url = None,
) -> None:
    """Issue a key and print it: it is never shown again."""
    require("engine", "`headrace keys`")
    from headrace.catalog.security.api_keys import ROLES, Role

    chosen: Role | None = next((each for each in ROLES if each == role), None)
    if chosen is None:
        raise HeadraceError(f"There is no role '{role}'.", f"Use one of {', '.join(get_args(Role))}.")
    pepper = key_pepper(data_dir)
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with tenant_catalog(tenant, data_dir, url, create=new_tenant) as catalog:
        issued, key = catalog.keys.issue(name=name, role=chosen, pepper=pepper, expires_at=expires_at)
    if new_tenant:
        _print_files_folder(tenant, data_dir)
    _err.print(
        f"{issued.id}: {chosen} of tenant {escape(tenant)}, stored as a hash only; keep what follows", style="dim"
    )
    _out.print(key, markup=False)


@keys.command("list")
def list_keys(tenant: TenantId = TENANT, data_dir: DataDir = DEFAULT_DATA_DIR, url: Url = None) -> None:
    """List the keys of a tenant that are not revoked."""
    table = Table("id", "name", "role", "prefix", "expires", "last used", "created", box=None, pad_edge=False)
    with tenant_catalog(tenant, data_dir, url) as catalog:
        for key in catalog.keys.not_revoked():
            moments = [
                f"{at:%Y-%m-%d %H:%M}" if at else "-" for at in (key.expires_at, key.last_used_at, key.created_at)
            ]
            table.add_row(key.id, escape(key.name), key.role, key.prefix, *moments)
    Console(width=200 if not _out.is_terminal else None, highlight=False).print(table)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="As `headrace keys list` shows it.")],
    reason: Annotated[str | None, typer.Option(help="For the audit log.")] = None,
    tenant: TenantId = TENANT,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    url: Url = None,
) -> None:
    """End a key for good; running facades follow within seconds."""
    with tenant_catalog(tenant, data_dir, url) as catalog:
        if not catalog.keys.revoke(key_id, reason):
            raise HeadraceError(f"The tenant {tenant} has no key {key_id}.", "See `headrace keys list`.")
    _out.print(f"revoked {escape(key_id)}")


def _print_files_folder(tenant: str, data_dir: Path) -> None:
    """Creates the folder of a new tenant's files if this machine has the files folder, and prints its path."""
    state = StackState.read(Layout.of(data_dir).state)
    given = os.environ.get("HEADRACE_FILES_ROOT")
    root = Path(given).expanduser().resolve() if given else state.files_root if state is not None else None
    if root is None or not root.is_dir():
        return
    roots = roots_of(root)
    try:
        make_folders(roots, [tenant])
    except OSError as error:
        _err.print(f"{escape(str(roots.of(tenant)))} cannot be made: {error.strerror}", style="dim")
    _err.print(f"files of tenant {escape(tenant)} are looked for in {escape(str(roots.of(tenant)))}", style="dim")


@contextmanager
def tenant_catalog(tenant: str, data_dir: Path, url: str | None, *, create: bool = False) -> Iterator[TenantCatalog]:
    """The tenant's catalog in one transaction, with the system user as author. Raises StackError."""
    require("engine", "`headrace keys`")
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.orm import Session

    from headrace.catalog.audit.author import Author, writing_as
    from headrace.catalog.bootstrap import TENANT_ID, ensure_tenant
    from headrace.catalog.engine import make_engine
    from headrace.catalog.models import Tenant
    from headrace.catalog.repositories import TenantCatalog
    from headrace.connectors.postgresql.error_messages import error_message

    engine = make_engine(database_of(data_dir, url), pool_size=1)
    try:
        with writing_as(Author("cli", getpass.getuser())):
            if create:
                if not TENANT_ID.fullmatch(tenant):
                    hint = "Use up to 64 letters, digits, '_' and '-'."
                    raise HeadraceError(f"A tenant cannot be called '{tenant}'.", hint)
                ensure_tenant(engine, tenant)
            with Session(engine, expire_on_commit=False) as session, session.begin():
                if session.get(Tenant, tenant) is None:
                    raise HeadraceError(
                        f"There is no tenant '{tenant}'.", "`headrace keys create --new-tenant` makes one."
                    )
                yield TenantCatalog(session, tenant)
    except SQLAlchemyError as error:
        raise HeadraceError(f"The catalog cannot be used: {error_message(error)}") from None
    finally:
        engine.dispose()


def database_of(data_dir: Path, url: str | None) -> str:
    """The given database URL, else that of the stack running on the folder. Raises StackError."""
    state = StackState.read(Layout.of(data_dir).state)
    address = url or (state.database_url if state is not None else None)
    if address is None:
        raise HeadraceError(
            "No database.", "Give --database-url or HEADRACE_DATABASE_URL, or start a stack with `headrace up`."
        )
    return address


def key_pepper(data_dir: Path) -> str:
    """The pepper of the keys' hashes: HEADRACE_KEY_PEPPER, else the stack's. Raises StackError."""
    pepper = os.environ.get("HEADRACE_KEY_PEPPER") or (read_json(Layout.of(data_dir).secrets) or {}).get("keyPepper")
    if not pepper:
        raise HeadraceError("The secret of the API keys is not known.", "Set HEADRACE_KEY_PEPPER as the facade has it.")
    return str(pepper)
