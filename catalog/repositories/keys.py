"""A tenant's API keys."""

from __future__ import annotations

from catalog.models import ApiKey
from catalog.repositories.base import TenantRepository


class KeyRepository(TenantRepository[ApiKey]):
    """Keys as they may be shown: name, role, prefix, times."""

    model = ApiKey
    noun = "key"
