"""Request and response models of API keys."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints

from headrace.api.pagination import PageOf
from headrace.api.wire import CreatedAt, Name, RequestModel, ResponseModel, Timestamp
from headrace.catalog.security.api_keys import Role

WARNING = "Store this key securely. It will not be shown again."

_EXAMPLE: dict[str, Any] = {
    "id": "key_019ac0ffee00",
    "name": "nightly loads",
    "role": "editor",
    "prefix": "hr_a1b2c3d4",
    "expiresAt": "2027-01-01T00:00:00.000Z",
    "createdAt": "2026-01-15T09:00:00.000Z",
}


class KeyItem(ResponseModel):
    """A key without the secret itself."""

    id: str
    """The key's id: `key_…`. It is not secret."""
    name: str
    """The name for people; it is the author of what is changed with the key."""
    role: Role
    """What the key may do; `x-roles` of each operation lists the roles that may call it."""
    prefix: str
    """The first characters of the key, by which its holder can recognise it."""
    expires_at: Timestamp | None
    """When it stops working; null if it does not expire."""
    last_used_at: Timestamp | None
    """About when it was last used, to within a minute; null if never."""
    created_at: CreatedAt


class KeyPage(PageOf[KeyItem]):
    """A page of the keys that are not revoked; `total` is the same as in `pagination`."""

    total: int
    """The number of keys on all pages."""


class CreatedKey(ResponseModel):
    """A new key, in the only response that contains it in plain text."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [_EXAMPLE | {"key": "hr_a1b2c3d4Jq0Zk7v2Yx9sT5uW1oR8nL4mE6pB3dF0gHi", "warning": WARNING}]
        }
    )

    id: str
    """The key's id: `key_…`. It is not secret."""
    name: str
    """The name for people, as given or made up."""
    role: Role
    """What the key may do; `x-roles` of each operation lists the roles that may call it."""
    key: str
    """The key itself, which is secret: the value of the header `X-API-Key`."""
    prefix: str
    """The first characters of the key, by which its holder can recognise it."""
    expires_at: Timestamp | None
    """When it stops working; null if it does not expire."""
    created_at: CreatedAt
    warning: str = WARNING
    """A reminder for people that the key is shown only now."""


class CreateKey(RequestModel):
    """A new key. The default role may only read."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "nightly loads", "role": "editor", "expiresAt": "2027-01-01T00:00:00Z"}]
        }
    )

    name: Name | None = Field(default=None, description="`key-<milliseconds>` unless given")
    role: Role = "viewer"
    """What the key may do: `viewer` reads, `editor` also changes and runs, `admin` also manages keys and reads the
    audit log."""
    expires_at: AwareDatetime | None = None
    """When it stops working, with a time zone; null for a key that does not expire."""


class RevokeKey(RequestModel):
    """The reason for revoking a key."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the laptop was lost"}]})

    reason: Annotated[str, StringConstraints(max_length=1000)] | None = None
    """Kept with the key and in the audit log; at most 1,000 characters."""
