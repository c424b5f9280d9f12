"""A tenant's API keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from catalog.keys import Role, digest, generate_key, shown_prefix
from catalog.models import ApiKey, new_id
from catalog.repositories.base import TenantRepository

NOT_REVOKED = ApiKey.revoked_at.is_(None)


class KeyRepository(TenantRepository[ApiKey]):
    """Keys as they may be shown: name, role, prefix, times."""

    model = ApiKey
    noun = "key"

    def issue(self, *, name: str, role: Role, pepper: str, expires_at: datetime | None = None) -> tuple[ApiKey, str]:
        """A new key: as it is stored, and in the clear, the only time anybody sees it."""
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
        """The tenant's keys that are not revoked, newest first; those of that name, if one is given."""
        named = [] if name is None else [ApiKey.name == name]
        kept = self.owned().where(NOT_REVOKED, *named)
        return self.session.scalars(kept.order_by(ApiKey.created_at.desc(), ApiKey.id.desc())).all()

    def revoke(self, key_id: str, reason: str | None = None) -> bool:
        """Ends the key; False when there is none, or none any more."""
        key = self.get(key_id)
        if key is None or key.revoked_at is not None:
            return False
        key.revoked_at, key.revoked_reason = datetime.now(UTC), reason
        return True
