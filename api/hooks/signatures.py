"""The signatures of requests: an HMAC-SHA256 of the body, and of the time where the kind has one.

Every comparison takes the same time wherever two texts differ. A check returns the reason of a refusal, which names
headers but never a value, or None.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence

from headrace.connectors.specs.webhook import Webhook

_SECONDS = re.compile(r"[0-9]{1,15}")
_MILLISECONDS_FROM = 10**11
_CANDIDATES = 10
"""The most signatures of one request that are looked at: senders give two while they change a secret."""

Check = Callable[[Webhook, Sequence[str], Mapping[str, str], bytes, float], str | None]


def refusal(config: Webhook, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    """Why the request is not from the sender, or None. `headers` have names in any case; `now` is in seconds since
    1970. Not for `verify: api_key`."""
    if not secrets:
        return "The webhook has no secret"
    return _CHECKS[config.verify](config, secrets, headers, body, now)


def _token(config: Webhook, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    name = config.header
    if (given := headers.get(name)) is None:
        return f"{name} is missing"
    if name.lower() == "authorization":
        scheme, _, token = given.partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else given
    return None if _any_equal([given], secrets) else f"The token in {name} is not valid"


def _hmac(config: Webhook, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    timestamp = ""
    if config.timestamp_header is not None:
        timestamp = headers.get(config.timestamp_header, "").strip()
        if reason := _untimely(config, config.timestamp_header, timestamp, now):
            return reason
    key = config.idempotency.header if config.idempotency is not None else None
    values = {"{timestamp}": timestamp.encode(), "{body}": body}
    if key is not None:
        values["{key}"] = headers.get(key, "").strip().encode("latin-1", "replace")
    signed = b"".join(values.get(part, part.encode()) for part in config.signed_parts)
    given = headers.get(config.signature_header)
    if given is None:
        return f"{config.signature_header} is missing"
    if not given.startswith(config.signature_prefix):
        return f"{config.signature_header} does not begin with {config.signature_prefix}"
    given = given.removeprefix(config.signature_prefix)
    return _signed_by([given], secrets, signed, config.signature_encoding, config.signature_header)


def _github(config: Webhook, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    name = "X-Hub-Signature-256"
    if (given := headers.get(name)) is None:
        return f"{name} is missing"
    return _signed_by([given.removeprefix("sha256=")], secrets, body, "hex", name)


def _shopify(
    config: Webhook, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float
) -> str | None:
    name = "X-Shopify-Hmac-Sha256"
    if (given := headers.get(name)) is None:
        return f"{name} is missing"
    return _signed_by([given], secrets, body, "base64", name)


def _stripe(config: Webhook, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float) -> str | None:
    name = "Stripe-Signature"
    if (given := headers.get(name)) is None:
        return f"{name} is missing"
    parts = [part.strip().partition("=") for part in given.split(",")]
    times = [value for key, _, value in parts if key == "t"]
    if len(times) != 1:
        return f"{name} has no time t="
    if reason := _untimely(config, name, times[0], now):
        return reason
    candidates = [value for key, _, value in parts if key == "v1"]
    return _signed_by(candidates, secrets, times[0].encode() + b"." + body, "hex", name)


def _standard(
    config: Webhook, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float
) -> str | None:
    found = {name: headers.get(name, "") for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    if missing := [name for name, value in found.items() if not value]:
        return f"{missing[0]} is missing"
    stamp = found["webhook-timestamp"].strip()
    if reason := _untimely(config, "webhook-timestamp", stamp, now):
        return reason
    signed = b".".join([found["webhook-id"].strip().encode("latin-1", "replace"), stamp.encode(), body])
    candidates = [part.removeprefix("v1,") for part in found["webhook-signature"].split() if part.startswith("v1,")]
    return _signed_by(candidates, secrets, signed, "base64", "webhook-signature", key_of=_standard_key)


_CHECKS: Mapping[str, Check] = {
    "token": _token,
    "hmac_sha256": _hmac,
    "standard": _standard,
    "github": _github,
    "shopify": _shopify,
    "stripe": _stripe,
}


def _standard_key(secret: str) -> bytes:
    """Secrets of Standard Webhooks are bytes in Base64, after `whsec_`."""
    try:
        return (
            base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            if secret.startswith("whsec_")
            else (secret.encode())
        )
    except binascii.Error:
        return secret.encode()


def _untimely(config: Webhook, name: str, stamp: str, now: float) -> str | None:
    if not _SECONDS.fullmatch(stamp):
        return f"{name} is missing" if not stamp else f"The time in {name} is not in seconds since 1970"
    seconds = int(stamp) / 1000 if int(stamp) >= _MILLISECONDS_FROM else int(stamp)
    if abs(now - seconds) > config.tolerance_seconds:
        return f"The time in {name} differs from the server's by more than {config.tolerance_seconds} s"
    return None


def _signed_by(
    candidates: Sequence[str],
    secrets: Sequence[str],
    signed: bytes,
    encoding: str,
    name: str,
    *,
    key_of: Callable[[str], bytes] = str.encode,
) -> str | None:
    digests = [hmac.digest(key_of(secret), signed, hashlib.sha256) for secret in secrets]
    if encoding == "hex":
        return None if _any_equal([c.strip().lower() for c in candidates], [d.hex() for d in digests]) else _bad(name)
    expected = [base64.b64encode(digest).decode() for digest in digests]
    return None if _any_equal([c.strip() for c in candidates], expected) else _bad(name)


def _any_equal(given: Sequence[str], expected: Sequence[str]) -> bool:
    # All are compared, so that the time does not tell which one it was.
    found = [
        hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))
        for one in given[:_CANDIDATES]
        for other in expected
    ]
    return any(found)


def _bad(name: str) -> str:
    return f"The signature in {name} is not valid"
