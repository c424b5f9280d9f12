"""The webhooks that requests are for, cached so that most requests need no query."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import ValidationError
from sqlalchemy.orm import Session

from headrace.api.connectors.service import credentials_of, resolve_blocks
from headrace.api.context import RequestContext, Services
from headrace.api.errors import ApiError
from headrace.catalog.models import Connector
from headrace.catalog.security.api_keys import Principal
from headrace.connectors.errors import SourceError
from headrace.connectors.specs.webhook import Webhook
from headrace.ir.secrets import connection_credentials

_ID = re.compile(r"conn_[0-9a-f]{32}")
_MAX_HOOKS = 10_000


@dataclass(frozen=True, slots=True)
class Hook:
    """A connector of type `webhook`."""

    id: str
    tenant_id: str
    config: Webhook
    secrets: tuple[str, ...] = field(repr=False)


class KnownHooks:
    """Webhooks by id. A changed or deleted one is known for `ttl_s` seconds more. Ids that are none are not cached.
    For use in one event loop and the threads of its pool."""

    def __init__(self, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s, self._clock = ttl_s, clock
        self._known: dict[str, tuple[float, Hook]] = {}

    def remembered(self, hook_id: str) -> Hook | None:
        """The webhook if it is cached and the entry is not too old."""
        until, hook = self._known.get(hook_id, (0.0, None))
        return hook if self._clock() < until else None

    def ever_known(self, hook_id: str) -> bool:
        """Whether there was such a webhook when it was last looked up."""
        return hook_id in self._known

    def look_up(self, services: Services, hook_id: str) -> Hook | None:
        """Reads the webhook from the catalog and caches it; None if there is none, of any tenant. Raises ApiError 503
        where its secret cannot be read."""
        found = _found(services, hook_id) if _ID.fullmatch(hook_id) else None
        if found is None:
            self._known.pop(hook_id, None)
            return None
        if len(self._known) >= _MAX_HOOKS:
            self._known.clear()
        self._known[hook_id] = (self._clock() + self._ttl_s, found)
        return found


def _found(services: Services, hook_id: str) -> Hook | None:
    with Session(services.engine, expire_on_commit=False) as session:
        connector = session.get(Connector, hook_id)
    if connector is None or connector.type != "webhook":
        return None
    # As the tenant, who has not been asked for a role yet: nothing but the secret is read.
    context = RequestContext(Principal(connector.tenant_id, "viewer", "hook", f"hook:{hook_id}"), services)
    try:
        config = Webhook.model_validate(connector.config)
        opened = connection_credentials(resolve_blocks(context, credentials_of(context, connector)))
    except (ValidationError, SourceError, ApiError) as error:
        raise ApiError(503, "The webhook cannot check requests now", headers={"Retry-After": "30"}) from error
    given = [opened.get("secret"), opened.get("previousSecret")]
    secrets = tuple(value for value in given if isinstance(value, str) and value)
    return Hook(connector.id, connector.tenant_id, config, secrets)
