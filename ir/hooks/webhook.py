"""`webhook`: tell another system."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, StringConstraints

from ir.hooks.base import HookBase, Seconds
from ir.problems import fault

_SECRET = "webhook"  # noqa: S105 - the beginning of a name


def _own_secret(name: str) -> str:
    # A signature tells something about its key: a database's password must not become one.
    if not name.startswith(_SECRET):
        hint = f"name it so in the authConfig of the pipeline's connector, for example {_SECRET}Secret"
        raise fault("invalid_secret", f"'{name}' does not begin with '{_SECRET}'", hint)
    return name


class WebhookHook(HookBase):
    """Posts JSON to `url`. With `secretRef`, a key of the authConfig of the pipeline's connector, the body is signed:
    `X-Headrace-Signature: sha256=<hmac>`."""

    type: Literal["webhook"]
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#@]+([/?][^\s#]*)?$", max_length=2000)]
    """Where to; it must be reachable from the worker."""
    secret_ref: (
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,100}$"), AfterValidator(_own_secret)] | None
    ) = None
    """A key of the connector's authConfig that begins with `webhook`."""
    timeout_seconds: Seconds = 10
    """For one attempt; there are three."""
