"""`secrets.json`: the pepper of API keys, Prefect's auth string, the admin key, the encryption keys."""

from __future__ import annotations

import secrets
from pathlib import Path

from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.layout import TENANT
from headrace.deployments.stack.private_files import read_json, write_private_json

KEY_NAME = "headrace up"


def load_pepper(path: Path) -> str:
    """The pepper in `path`; generated when there is none."""
    document = read_json(path) or {}
    if not document.get("keyPepper"):
        document["keyPepper"] = secrets.token_urlsafe(32)
        write_private_json(path, document)
    return str(document["keyPepper"])


def load_prefect_auth_string(path: Path) -> str:
    """The `user:password` in `path` of the stack's Prefect server; generated when there is none."""
    document = read_json(path) or {}
    if not document.get("prefectAuthString"):
        document["prefectAuthString"] = f"headrace:{secrets.token_urlsafe(32)}"
        write_private_json(path, document)
    return str(document["prefectAuthString"])


def ensure_admin_key(path: Path, database_url: str, pepper: str) -> str:
    """A valid admin key of the tenant `default`: the one in `path` if the catalog accepts it, else a new one."""
    from sqlalchemy.orm import Session

    from headrace.catalog.bootstrap import ensure_tenant, issue_key
    from headrace.catalog.engine import make_engine
    from headrace.catalog.security.api_keys import authenticate

    document = read_json(path) or {}
    engine = make_engine(database_url, pool_size=1)
    try:
        ensure_tenant(engine, TENANT)
        known = document.get("apiKey")
        if isinstance(known, str):
            with Session(engine) as session:
                principal = authenticate(session, known, pepper)
            if principal is not None and principal.tenant_id == TENANT and principal.role == "admin":
                return known
        key = issue_key(engine, tenant_id=TENANT, name=KEY_NAME, role="admin", pepper=pepper)
    finally:
        engine.dispose()
    write_private_json(path, document | {"keyPepper": pepper, "apiKey": key})
    return key


_ENCRYPTION_KEYS = "encryptionKeys"


def load_encryption_keys(path: Path) -> list[str]:
    """The keys in `path`, newest first; one is generated when there is none."""
    return stored_encryption_keys(path) or add_encryption_key(path)


def add_encryption_key(path: Path) -> list[str]:
    """Generates a key and puts it first in `path`; returns all keys, newest first."""
    from headrace.catalog.security.credentials import generate_encryption_key

    keys = [generate_encryption_key(), *stored_encryption_keys(path)]
    write_private_json(path, (read_json(path) or {}) | {_ENCRYPTION_KEYS: keys})
    return keys


def reseal_with_newest_key(path: Path, keys: list[str], database_url: str) -> None:
    """Encrypts every credential with the first of `keys` and removes the others. Raises StackError when one cannot be
    decrypted; then all keys are kept."""
    if len(keys) < 2:
        return
    from headrace.catalog.audit.seals import AuditKeys
    from headrace.catalog.engine import make_engine
    from headrace.catalog.security.credentials import (
        CredentialsUnreadable,
        Keyring,
        encryption_keys,
        reseal_credentials,
    )

    engine = make_engine(database_url, pool_size=1)
    try:
        text = ",".join(keys)
        reseal_credentials(engine, Keyring.parse(text), AuditKeys(encryption_keys(text)))
    except CredentialsUnreadable as error:
        raise HeadraceError(
            f"The encryption key cannot be rotated: {error}", f"Give its key in {path} too, or delete the connector."
        ) from None
    finally:
        engine.dispose()
    # a key added meanwhile is kept for the next start
    kept = [key for key in stored_encryption_keys(path) if key not in keys[1:]]
    write_private_json(path, (read_json(path) or {}) | {_ENCRYPTION_KEYS: kept})


def stored_encryption_keys(path: Path) -> list[str]:
    """The keys in `path`, newest first, or an empty list."""
    keys = (read_json(path) or {}).get(_ENCRYPTION_KEYS)
    return [str(key) for key in keys] if isinstance(keys, list) else []
