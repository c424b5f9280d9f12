"""Reads the stored credentials of a connector."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from headrace.catalog.security.credentials import Keyring
from tests.api.conftest import ENCRYPTION_KEY, Facade


def credentials_of(facade: Facade, connector_id: str) -> dict[str, Any]:
    with facade.engine.connect() as connection:
        query = text("SELECT auth_sealed FROM headrace.connectors WHERE id = :id")
        sealed = connection.scalar(query, {"id": connector_id})
    return Keyring.parse(ENCRYPTION_KEY).unseal(sealed, connector_id=connector_id)
