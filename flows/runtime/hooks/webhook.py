"""`webhook`: sends a signed POST to an address that connectors may connect to.

The host name is resolved once, and the connection goes to the address that was checked. Redirects are not followed,
because they would lead to another address. Delivery is at least once: `Idempotency-Key` is the same in every attempt.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import httpx

from headrace.connectors.errors import SourceError
from headrace.connectors.network.web_address import WebAddress
from headrace.flows.runtime.hooks.base import HookContext, HookError, HookMeans
from headrace.ir.hooks import WebhookHook

ATTEMPTS = 3
_PAUSE_S = 1.0
_WORTH_RETRYING = (408, 425, 429)


def run_webhook(
    hook: WebhookHook,
    context: HookContext,
    means: HookMeans,
    *,
    sleep: Callable[[float], None] = time.sleep,
    trust: ssl.SSLContext | None = None,
) -> str:
    """A HookRunner. Any 2xx response is success; 5xx, 408, 425, 429 and lost connections are retried. `trust` has the
    trusted certificate authorities, the default ones when None."""
    try:
        there = WebAddress.of(hook.url)
    except SourceError as error:
        raise HookError(str(error)) from None
    host = there.host
    body = json.dumps(_payload(context)).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "headrace",
        "Host": there.url.netloc.decode(),
        "X-Headrace-Event": context.event,
        "Idempotency-Key": context.idempotency_key,
        **_signature(hook, means, body),
    }
    reason = ""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            address = there.checked(means.networks)
        except SourceError as error:
            if error.code != "unknown_host":
                raise HookError(str(error)) from None
            reason = str(error)
        else:
            try:
                status = _post(there.at(address), host, headers, body, hook.timeout_seconds, trust)
            except httpx.HTTPError as error:
                reason = f"{type(error).__name__}: {error}".removesuffix(": ")
            else:
                if 200 <= status < 300:
                    return f"{host} answered {status}"
                reason = f"{host} answered {status}"
                if status < 500 and status not in _WORTH_RETRYING:
                    break
        if attempt < ATTEMPTS:
            sleep(_PAUSE_S * 2 ** (attempt - 1))
    raise HookError(reason)


def _post(
    url: httpx.URL, host: str, headers: dict[str, str], body: bytes, timeout_s: float, trust: ssl.SSLContext | None
) -> int:
    """The status of the response, whose body is not read. The certificate must be valid for `host`."""
    with (
        httpx.Client(timeout=timeout_s, follow_redirects=False, trust_env=False, verify=trust or True) as client,
        client.stream("POST", url, headers=headers, content=body, extensions={"sni_hostname": host}) as answer,
    ):
        return answer.status_code


def _payload(context: HookContext) -> dict[str, Any]:
    return {
        "event": context.event,
        "runId": context.run_id,
        "pipelineId": context.pipeline_id,
        "irVersion": context.ir_version,
        "target": context.target_node,
        "table": context.table,
        "loadMode": context.load_mode,
        "rows": None if context.rows is None else asdict(context.rows),
        "idempotencyKey": context.idempotency_key,
        "sentAt": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _signature(hook: WebhookHook, means: HookMeans, body: bytes) -> dict[str, str]:
    if hook.secret_ref is None:
        return {}
    secret = means.credentials.get(hook.secret_ref)
    if not isinstance(secret, str) or not secret:
        raise HookError(f"the pipeline's connector has no '{hook.secret_ref}' in its authConfig to sign with")
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Headrace-Signature": f"sha256={digest}"}
