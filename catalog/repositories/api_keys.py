"""A tenant's API keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from headrace.catalog.models import ApiKey, new_id
from headrace.catalog.repositories.base import TenantRepository
from headrace.catalog.security.api_keys import Role, digest, generate_key, shown_prefix

NOT_REVOKED = ApiKey.revoked_at.is_(None)


class KeyRepository(TenantRepository[ApiKey]):
    """Keys as they may be shown: name, role, prefix, times."""

    model = ApiKey
    noun = "key"
    counted = "api_keys"

    def issue(self, *, name: str, role: Role, pepper: str, expires_at: datetime | None = None) -> tuple[ApiKey, str]:
        """Creates a key; returns it as stored, and its plaintext, which is not stored."""
        key = generate_key()
        issued = self.add(
            ApiKey(
                id=new_id("key"),
                name=name,
                role=role,
                prefix=shown_prefix(key),
                digest=digest(key, pepper),
                expires_at=expires_at,
            )
        )
        return issued, key

    def not_revoked(self, name: str | None = None) -> Sequence[ApiKey]:
        """Returns the tenant's keys that are not revoked, newest first; with `name`, only those of that name."""
        named = [] if name is None else [ApiKey.name == name]
        kept = self.owned().where(NOT_REVOKED, *named)
        return self.session.scalars(kept.order_by(ApiKey.created_at.desc(), ApiKey.id.desc())).all()

    def revoke(self, key_id: str, reason: str | None = None) -> bool:
        """Revokes a key; returns False if it does not exist or is already revoked."""
        key = self.get(key_id)
        if key is None or key.revoked_at is not None:
            return False
        key.revoked_at, key.revoked_reason = datetime.now(UTC), reason
        return True
