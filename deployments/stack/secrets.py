"""`secrets.json`: the pepper of the API keys and the stack's own admin key, kept so that both survive a restart.
(The keys that seal credentials are there too: see `deployments.stack.encryption`.)"""

from __future__ import annotations

import secrets
from pathlib import Path

from deployments.stack.layout import TENANT
from deployments.stack.private import read_json, write_private_json

KEY_NAME = "headrace up"


def load_pepper(path: Path) -> str:
    """The pepper in `path`, made when there is none."""
    document = read_json(path) or {}
    if not document.get("keyPepper"):
        document["keyPepper"] = secrets.token_urlsafe(32)
        write_private_json(path, document)
    return str(document["keyPepper"])


def ensure_admin_key(path: Path, database_url: str, pepper: str) -> str:
    """An admin key of the tenant `default` that the catalog accepts: the one in `path` while it is, else a new one."""
    from sqlalchemy.orm import Session

    from catalog.bootstrap import ensure_tenant, issue_key
    from catalog.engine import make_engine
    from catalog.keys import authenticate

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
