"""`headrace keys rotate-encryption`: a new key for the credentials of connectors."""

from __future__ import annotations

import os

from rich.console import Console

from deployments.keys_command import DataDir, Url, database_of
from deployments.stack.errors import StackError
from deployments.stack.layout import DEFAULT_DATA_DIR, Layout

_out = Console(highlight=False, soft_wrap=True)


def rotate_encryption(data_dir: DataDir = DEFAULT_DATA_DIR, url: Url = None) -> None:
    """Seal the credentials of all connectors with a new key.

    With HEADRACE_ENCRYPTION_KEYS: put the new key first, start everything anew, then run this; it seals what is under
    the other keys with the first, and they can go. Without it, the stack on the data folder gets a new key, and the
    next `headrace up` does the rest.
    """
    given = os.environ.get("HEADRACE_ENCRYPTION_KEYS")
    if not given:
        _rotate_stack(Layout.of(data_dir))
        return
    from sqlalchemy.exc import SQLAlchemyError

    from catalog.credentials import CredentialsUnreadable, Keyring
    from catalog.engine import make_engine
    from catalog.resealing import reseal_credentials

    try:
        keyring = Keyring.parse(given)
    except ValueError as error:
        raise StackError(f"HEADRACE_ENCRYPTION_KEYS cannot be used: {error}.") from None
    engine = make_engine(database_of(data_dir, url), pool_size=1)
    try:
        done = reseal_credentials(engine, keyring)
    except CredentialsUnreadable as error:
        raise StackError(f"Nothing is changed: {error}.", "Add the key it was sealed with.") from None
    except SQLAlchemyError as error:
        raise StackError(f"The catalog cannot be used: {error.__cause__ or error}") from None
    finally:
        engine.dispose()
    _out.print(
        f"{done.anew} sealed anew, {done.current} were already; the keys behind the first are not needed any more"
    )


def _rotate_stack(layout: Layout) -> None:
    from deployments.stack.encryption import add_encryption_key

    if not layout.secrets.exists():
        raise StackError(
            f"No stack has run on {layout.root}.", "Set HEADRACE_ENCRYPTION_KEYS for a server of your own."
        )
    add_encryption_key(layout.secrets)
    _out.print(f"a new key is first in {layout.secrets}; the next `headrace up` seals everything with it", markup=False)
