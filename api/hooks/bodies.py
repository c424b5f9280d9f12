"""The body of a request as it is stored, and its idempotency key."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import msgspec

from headrace.api.errors import ApiError, invalid
from headrace.connectors.specs.webhook import HookKey, Webhook
from headrace.ir.parsing.storable_text import is_storable

_MAX_KEY = 500
_DEFAULTS: Mapping[str, HookKey] = {
    "github": HookKey(header="X-GitHub-Delivery"),
    "shopify": HookKey(header="X-Shopify-Webhook-Id"),
    "standard": HookKey(header="webhook-id"),
    "stripe": HookKey(path="id"),
}
_OPTIONAL = HookKey(header="Idempotency-Key")


def decompressed(body: bytes, encoding: str, most: int) -> bytes:
    """The body without its Content-Encoding, at most `most` bytes of it. Raises ApiError: 400, 413, 415."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ("gzip", "x-gzip"):
        raise ApiError(415, "A body may be compressed with gzip, and with nothing else")
    unzip = zlib.decompressobj(wbits=31)
    try:
        plain = unzip.decompress(body, most + 1)
    except zlib.error:
        raise invalid("body", "bad_gzip", "The body is not gzip, as Content-Encoding says") from None
    if len(plain) > most:
        raise ApiError(413, f"The body is larger than {most} bytes when it is decompressed")
    if not unzip.eof or unzip.unused_data:
        raise invalid("body", "bad_gzip", "The gzip body has not one complete member")
    return plain


def key_of(config: Webhook, headers: Mapping[str, str], body: bytes) -> str | None:
    """The idempotency key; None where there is none and none is required. Raises ApiError 400."""
    where = config.idempotency or _DEFAULTS.get(config.verify, _OPTIONAL)
    if where.body:
        return ""
    if where.header is not None:
        found = headers.get(where.header)
        name = where.header
        if found is None and where is _OPTIONAL:
            return None
    else:
        assert where.path is not None
        name, found = where.path, _in_json(body, where.path)
    if found is None or not found.strip():
        raise invalid(name, "missing_key", f"The request has no idempotency key: {name}", "send one with each request")
    found = found.strip()
    if len(found) > _MAX_KEY or not is_storable(found):
        raise invalid(name, "bad_key", f"An idempotency key has at most {_MAX_KEY} characters, none of them zero")
    return found


def _in_json(body: bytes, path: str) -> str | None:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid(path, "missing_key", "The body is not JSON, and has to have its idempotency key in it") from None
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)


def kept_headers(config: Webhook, headers: Mapping[str, str]) -> str | None:
    """The headers that the connector keeps, as a JSON object, by the names in its config."""
    if not config.keep_headers:
        return None
    kept = {
        name: value for name in config.keep_headers if (value := headers.get(name)) is not None and is_storable(value)
    }
    return msgspec.json.encode(kept).decode()
