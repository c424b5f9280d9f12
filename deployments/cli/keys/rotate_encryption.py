"""`headrace keys rotate-encryption`: encrypts the credentials of connectors with a new key."""

from __future__ import annotations

import os

from rich.console import Console

from headrace.deployments.cli.keys.api_keys import DataDir, Url, database_of
from headrace.deployments.errors import HeadraceError
from headrace.deployments.extras import require
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR, Layout

_out = Console(highlight=False, soft_wrap=True)


def rotate_encryption(data_dir: DataDir = DEFAULT_DATA_DIR, url: Url = None) -> None:
    """Seal the credentials of all connectors with a new key.

    With HEADRACE_ENCRYPTION_KEYS: put the new key first, restart everything, then run this; it seals what is under the
    other keys with the first, and they can be removed. Without it, the stack on the data folder gets a new key, and the
    next `headrace up` does the rest.
    """
    require("engine", "`headrace keys rotate-encryption`")
    given = os.environ.get("HEADRACE_ENCRYPTION_KEYS")
    if not given:
        _rotate_stack(Layout.of(data_dir))
        return
    from sqlalchemy.exc import SQLAlchemyError

    from headrace.catalog.audit.seals import AuditKeys
    from headrace.catalog.engine import make_engine
    from headrace.catalog.security.credentials import (
        CredentialsUnreadable,
        Keyring,
        encryption_keys,
        reseal_credentials,
    )
    from headrace.connectors.postgresql.error_messages import error_message

    try:
        keyring = Keyring.parse(given)
    except ValueError as error:
        raise HeadraceError(f"HEADRACE_ENCRYPTION_KEYS cannot be used: {error}.") from None
    engine = make_engine(database_of(data_dir, url), pool_size=1)
    try:
        done = reseal_credentials(engine, keyring, AuditKeys(encryption_keys(given)))
    except CredentialsUnreadable as error:
        raise HeadraceError(f"Nothing is changed: {error}.", "Add the key it was sealed with.") from None
    except SQLAlchemyError as error:
        raise HeadraceError(f"The catalog cannot be used: {error_message(error)}") from None
    finally:
        engine.dispose()
    _out.print(
        f"{done.resealed} resealed, {done.current} were up to date; the keys after the first are no longer needed"
    )


def _rotate_stack(layout: Layout) -> None:
    from headrace.deployments.stack.secrets import add_encryption_key

    if not layout.secrets.exists():
        raise HeadraceError(
            f"No stack has run on {layout.root}.", "Set HEADRACE_ENCRYPTION_KEYS for a server of your own."
        )
    add_encryption_key(layout.secrets)
    _out.print(f"a new key is first in {layout.secrets}; the next `headrace up` seals everything with it", markup=False)
