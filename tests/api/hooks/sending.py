"""Webhooks of the API under test, and requests as their senders make them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any
from uuid import uuid4

from tests.api.conftest import Facade, created

SECRET = "k3y-of-the-sender-0123456789"


def new_hook(facade: Facade, *, secret: str | None = None, **config: Any) -> str:
    """The id of a new webhook of the tenant `default`."""
    body: dict[str, Any] = {"name": f"hook {uuid4().hex[:8]}", "type": "webhook", "config": config}
    if secret is not None:
        body["authConfig"] = {"secret": secret}
    return str(created(facade.editor, "/api/v1/connectors", body)["id"])


def path_of(hook_id: str) -> str:
    return f"/api/v1/hooks/{hook_id}"


def digest(text: bytes, secret: str = SECRET) -> bytes:
    return hmac.new(secret.encode(), text, hashlib.sha256).digest()


def github(body: bytes, delivery: str, secret: str = SECRET) -> dict[str, str]:
    return {"X-Hub-Signature-256": f"sha256={digest(body, secret).hex()}", "X-GitHub-Delivery": delivery}


def shopify(body: bytes, delivery: str) -> dict[str, str]:
    return {"X-Shopify-Hmac-Sha256": base64.b64encode(digest(body)).decode(), "X-Shopify-Webhook-Id": delivery}


def stripe(body: bytes, at: float, secret: str = SECRET) -> dict[str, str]:
    mac = digest(b"%d." % at + body, secret).hex()
    return {"Stripe-Signature": f"t={int(at)},v0=00,v1={'0' * 64},v1={mac}"}


def standard(body: bytes, at: float, delivery: str, key: bytes) -> dict[str, str]:
    mac = hmac.new(key, f"{delivery}.{int(at)}.".encode() + body, hashlib.sha256).digest()
    given = f"v1a,x v1,{base64.b64encode(mac).decode()}"
    return {"webhook-id": delivery, "webhook-timestamp": str(int(at)), "webhook-signature": given}


def spooled(facade: Facade, hook_id: str) -> list[tuple[int, bytes]]:
    """The records that wait, with their numbers."""
    query = "SELECT seq, body FROM headrace.hook_records WHERE connector_id = %s ORDER BY seq"
    with facade.engine.begin() as connection:
        return [(row[0], bytes(row[1])) for row in connection.exec_driver_sql(query, (hook_id,))]
