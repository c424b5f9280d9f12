"""Request and response models of API keys."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints

from headrace.api.pagination import PageOf
from headrace.api.wire import Name, RequestModel, ResponseModel, Timestamp
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
    name: str
    role: Role
    prefix: str
    expires_at: Timestamp | None
    last_used_at: Timestamp | None
    created_at: Timestamp


class KeyPage(PageOf[KeyItem]):
    """A page of the keys that are not revoked; `total` is the same as in `pagination`."""

    total: int


class CreatedKey(ResponseModel):
    """A new key, in the only response that contains it in plain text."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [_EXAMPLE | {"key": "hr_a1b2c3d4Jq0Zk7v2Yx9sT5uW1oR8nL4mE6pB3dF0gHi", "warning": WARNING}]
        }
    )

    id: str
    name: str
    role: Role
    key: str
    prefix: str
    expires_at: Timestamp | None
    created_at: Timestamp
    warning: str = WARNING


class CreateKey(RequestModel):
    """A new key. The default role may only read."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "nightly loads", "role": "editor", "expiresAt": "2027-01-01T00:00:00Z"}]
        }
    )

    name: Name | None = Field(default=None, description="`key-<milliseconds>` unless given")
    role: Role = "viewer"
    expires_at: AwareDatetime | None = None


class RevokeKey(RequestModel):
    """The reason for revoking a key."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "the laptop was lost"}]})

    reason: Annotated[str, StringConstraints(max_length=1000)] | None = None
