"""The keys that seal connector credentials, as a stack keeps them in `secrets.json`: newest first, old ones until
nothing is sealed with them any more."""

from __future__ import annotations

from pathlib import Path

from deployments.stack.errors import StackError
from deployments.stack.private import read_json, write_private_json

_FIELD = "encryptionKeys"


def load_encryption_keys(path: Path) -> list[str]:
    """The keys in `path`, newest first; one is made when there is none."""
    return _stored(path) or add_encryption_key(path)


def add_encryption_key(path: Path) -> list[str]:
    """Puts a new key before those in `path`; all of them, newest first."""
    from catalog.credentials import generate_encryption_key

    keys = [generate_encryption_key(), *_stored(path)]
    write_private_json(path, (read_json(path) or {}) | {_FIELD: keys})
    return keys


def settle_encryption_keys(path: Path, keys: list[str], database_url: str) -> None:
    """Seals every credential with the first of `keys` and forgets the others. Raises StackError when one does not
    open; all keys are kept then."""
    if len(keys) < 2:
        return
    from catalog.credentials import CredentialsUnreadable, Keyring
    from catalog.engine import make_engine
    from catalog.resealing import reseal_credentials

    engine = make_engine(database_url, pool_size=1)
    try:
        reseal_credentials(engine, Keyring.parse(",".join(keys)))
    except CredentialsUnreadable as error:
        raise StackError(
            f"The encryption key cannot be rotated: {error}", f"Give its key in {path} too, or delete the connector."
        ) from None
    finally:
        engine.dispose()
    # a key that was added meanwhile stays for the next time
    kept = [key for key in _stored(path) if key not in keys[1:]]
    write_private_json(path, (read_json(path) or {}) | {_FIELD: kept})


def _stored(path: Path) -> list[str]:
    keys = (read_json(path) or {}).get(_FIELD)
    return [str(key) for key in keys] if isinstance(keys, list) else []
