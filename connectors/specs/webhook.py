"""The settings of a webhook: who may send to it, and how a repeated delivery is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from headrace.connectors.specs.base import HARMLESS, ClosedConfig, Url, problems_of
from headrace.connectors.specs.databases import Secret
from headrace.ir.problems import Problem, fault
from headrace.ir.secrets import check_strength

Verification = Literal["api_key", "token", "hmac_sha256", "standard", "github", "shopify", "stripe"]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
_BLOCK = "prefect://"
_CREDENTIALS = re.compile(r"^(authorization|proxy-authorization|cookie|x-api-key)$", re.IGNORECASE)


class HookKey(ClosedConfig):
    """Where the idempotency key of a request is: one of the three."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    header: HeaderName | None = None
    """A header."""
    path: Annotated[str, StringConstraints(pattern=r"^[^.\s]+(\.[^.\s]+){0,15}$", max_length=500)] | None = None
    """A text or whole number in a JSON body: `id`, or `data.object.id`."""
    body: bool = False
    """The whole body: an equal one is a repeated one."""

    @model_validator(mode="after")
    def _one(self) -> HookKey:
        if [self.header is not None, self.path is not None, self.body].count(True) != 1:
            raise fault("bad_option", "one of 'header', 'path' and 'body' is the key", "name one of them")
        return self


class Webhook(ClosedConfig):
    model_config = ConfigDict(use_attribute_docstrings=True)
    # Nothing is sent anywhere with the secret: no setting decides where to.

    url: Url | None = Field(default=None, json_schema_extra=HARMLESS)
    """The sender, for people; nothing is requested from it."""
    verify: Verification = Field(default="api_key", json_schema_extra=HARMLESS)
    """What a request has to prove: an API key of the tenant (`admin` or `editor`), `authConfig.secret` itself
    (`token`), or a signature made with it: `hmac_sha256` (see the settings about signatures), `standard` (Standard
    Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`), `github`, `shopify`, `stripe`."""
    header: HeaderName = Field(default="Authorization", json_schema_extra=HARMLESS)
    """The header of a `token`; in `Authorization` it may follow `Bearer`."""
    signature_header: HeaderName = Field(default="X-Signature", json_schema_extra=HARMLESS)
    """The header of a signature (`hmac_sha256`)."""
    signature_prefix: Annotated[str, StringConstraints(max_length=50)] = Field(default="", json_schema_extra=HARMLESS)
    """What is in front of the signature: `sha256=` (`hmac_sha256`)."""
    signature_encoding: Literal["hex", "base64"] = Field(default="hex", json_schema_extra=HARMLESS)
    """How the signature is written (`hmac_sha256`)."""
    timestamp_header: HeaderName | None = Field(default=None, json_schema_extra=HARMLESS)
    """The header of the time in seconds (or milliseconds) since 1970 that is signed along (`hmac_sha256`)."""
    signed: Annotated[str, StringConstraints(max_length=200)] | None = Field(default=None, json_schema_extra=HARMLESS)
    """What is signed (`hmac_sha256`): `{timestamp}`, `{key}` (the header of `idempotency`) and, at the end, `{body}`.
    Default: `{timestamp}.{body}` with a `timestampHeader`, else `{body}`."""
    tolerance_seconds: int = Field(default=300, ge=1, le=86_400, json_schema_extra=HARMLESS)
    """How much a signed time may differ from the server's."""
    idempotency: HookKey | None = Field(default=None, json_schema_extra=HARMLESS)
    """The key of a request, which it must have then. Default: `id` of `stripe`, `webhook-id` of `standard`,
    `X-GitHub-Delivery`, `X-Shopify-Webhook-Id`, else `Idempotency-Key` if it is there."""
    keep_keys_hours: int = Field(default=24, ge=1, le=720, json_schema_extra=HARMLESS)
    """How long a key is known: a request with a known key is answered as before and not stored again."""
    keep_headers: Annotated[list[HeaderName], Field(max_length=20)] = Field(default=[], json_schema_extra=HARMLESS)
    """The headers that are kept with a record, for `metadata.headers`."""

    @model_validator(mode="after")
    def _fits(self) -> Webhook:
        secret = {self.header.lower()} if self.verify == "token" else set()
        if bad := [name for name in self.keep_headers if _CREDENTIALS.fullmatch(name) or name.lower() in secret]:
            raise fault("bad_option", f"the header '{bad[0]}' is a credential, which is not kept", "leave it out")
        if self.verify != "hmac_sha256" and (given := self._only_for_hmac()):
            raise fault("bad_option", f"'{given}' is for verify: hmac_sha256", "remove it")
        self._check_signed()
        return self

    def _only_for_hmac(self) -> str | None:
        names = ("signature_header", "signature_prefix", "signature_encoding", "timestamp_header", "signed")
        fields = type(self).model_fields
        return next((fields[name].alias for name in names if name in self.model_fields_set), None)

    def _check_signed(self) -> None:
        parts = self.signed_parts
        if parts.count("{body}") != 1 or parts[-1] != "{body}":
            raise fault("bad_option", "'signed' ends with {body}", "write {timestamp}.{body}")
        if ("{timestamp}" in parts) != (self.timestamp_header is not None):
            raise fault(
                "bad_option", "{timestamp} in 'signed' is the value of 'timestampHeader'", "set both, or none of them"
            )
        if "{key}" in parts and (self.idempotency is None or self.idempotency.header is None):
            raise fault("bad_option", "{key} in 'signed' is the value of 'idempotency.header'", "set it")

    @property
    def signed_parts(self) -> list[str]:
        """The text that is signed, in parts: texts, `{timestamp}`, `{key}`, `{body}`."""
        default = "{body}" if self.timestamp_header is None else "{timestamp}.{body}"
        return [part for part in re.split(r"(\{timestamp\}|\{key\}|\{body\})", self.signed or default) if part]


class WebhookLogin(ClosedConfig):
    model_config = ConfigDict(use_attribute_docstrings=True)

    secret: Secret | None = None
    """The token, or the secret of the signatures; not needed for `verify: api_key`."""
    previous_secret: Secret | None = None
    """The secret before, which is accepted too until every sender has the new one."""


def webhook_auth_problems(config: Mapping[str, Any], credentials: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the credentials of a webhook with this config. A value in a Prefect block is not looked at."""
    if found := problems_of(WebhookLogin, dict(credentials), path="authConfig"):
        return found
    try:
        verify = Webhook.model_validate(dict(config)).verify
    except ValidationError:  # reported as the config's
        return []
    if verify == "api_key":
        return []
    if "secret" not in credentials:
        hint = "give the secret that the sender has, at least 16 characters"
        return [Problem("authConfig.secret", "missing_field", f"verify: {verify} needs a secret", hint)]
    problems = []
    for name in ("secret", "previousSecret"):
        value = credentials.get(name)
        if value is None or (isinstance(value, str) and value.startswith(_BLOCK)):
            continue
        try:
            check_strength(name, value)
        except PydanticCustomError as error:
            context = error.context or {}
            problems.append(Problem(f"authConfig.{name}", error.type, context["text"], context["hint"]))
    return problems
