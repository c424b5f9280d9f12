"""The connector types of the documents that come with Headrace: a record has the values of a document's variables as
its config, and the document's credentials as its authConfig."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, SecretStr, create_model, model_validator

from headrace.connectors.http.shipped.documents import shipped_documents
from headrace.connectors.specs.base import HARMLESS, AuthMethod, Config, ConnectorType, Text, Url, one_of
from headrace.ir.problems import fault

CREDENTIALS: dict[str, tuple[str, ...]] = {
    "none": (),
    "api_key": ("apiKey",),
    "bearer": ("token",),
    "basic": ("username", "password"),
    "oauth2": ("clientId", "clientSecret"),
    "jwt_bearer": ("clientId", "username", "privateKey"),
    "session": ("username", "password"),
}
"""The credentials that each authentication needs, by their names in authConfig."""
_METHODS: dict[str, AuthMethod] = {
    "none": "none",
    "basic": "basic",
    "oauth2": "oauth2",
    "jwt_bearer": "key_pair",
    "session": "basic",
}
_SHOWN = ("clientId", "username")
_MEANINGS = {
    "apiKey": "The API key.",
    "token": "The access token.",
    "username": "The user.",
    "password": "The password.",
    "clientId": "The client's id.",
    "clientSecret": "The client's secret.",
    "refreshToken": "A refresh token, instead of the client's own credentials.",
    "privateKey": "The private key, as PEM text without a password, that signs for the client.",
}


class ShippedConfig(Config):
    """Settings of every connector of this kind; the variables of its document are added."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    url: Url | None = None
    """The address of the API instead of its usual one: of a proxy, or a server for tests."""
    requests_per_second: float | None = Field(default=None, gt=0, le=10_000, json_schema_extra=HARMLESS)
    """The most requests per second of a run's process, instead of the usual number."""
    max_wait_seconds: float | None = Field(default=None, ge=0, le=86_400, json_schema_extra=HARMLESS)
    """The longest total wait of a request, in seconds, when the API asks to wait or does not respond; 900 by
    default."""
    max_page_bytes: int | None = Field(default=None, ge=1024, le=1 << 30, json_schema_extra=HARMLESS)
    """The largest response in bytes, decompressed; 64 MiB by default."""
    max_file_bytes: int | None = Field(default=None, ge=1024, le=1 << 42, json_schema_extra=HARMLESS)
    """The largest file that a job gives, in bytes; 8 GiB by default."""
    insecure_login: bool = False
    """Send the credentials over http too, in a trusted network."""


class SalesforceConfig(ShippedConfig):
    """What the contract's page requires of this type; reading needs `instanceUrl`."""

    model_config = ConfigDict(json_schema_extra=one_of("instanceUrl", "apiKey"))

    instance_url: Url | None = None
    """The organisation's address: `https://my-domain.my.salesforce.com`."""
    api_key: Text | None = None

    @model_validator(mode="after")
    def _somehow(self) -> SalesforceConfig:
        if self.instance_url is None and self.api_key is None:
            raise fault("missing_field", "'instanceUrl' or 'apiKey' is required", "add one of the two")
        return self


_BASES: dict[str, type[ShippedConfig]] = {"salesforce": SalesforceConfig}


class ShippedLogin(Config):
    """Credentials of a connector of this kind."""


def logins_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The authentications that a document allows."""
    return list(document.get("auth", ()))


def needed(auth: Mapping[str, Any]) -> tuple[str, ...]:
    """The credentials that an authentication needs."""
    names = ("apiKey",) if auth["type"] == "basic" and "username" in auth else CREDENTIALS[auth["type"]]
    return (*names, "refreshToken") if "refreshTokenRef" in auth else names


def shipped_types() -> Iterator[ConnectorType]:
    """The type of each document."""
    for name, document in shipped_documents().items():
        methods = dict.fromkeys(_METHODS.get(each["type"], "token") for each in logins_of(document))
        yield ConnectorType(
            name,
            document["displayName"],
            document["category"],
            document["description"],
            _config(document),
            name,
            _login(document),
            tuple(methods),
        )


def _config(document: Mapping[str, Any]) -> type[Config]:
    fields: dict[str, Any] = {}
    leading = str([document["url"], *logins_of(document), *(each.get("url") for each in document["endpoints"])])
    base = _BASES.get(document["id"], ShippedConfig)
    known = {each.alias for each in base.model_fields.values()}
    for name, variable in document.get("variables", {}).items():
        default, meaning = variable.get("default"), variable.get("description")
        if name in known:
            continue
        extra = None if f"{{{{{name}}}}}" in leading else HARMLESS
        fields[name] = (
            Text,
            Field(default=... if default is None else str(default), description=meaning, json_schema_extra=extra),
        )
    # It has no source code: looking for docstrings there goes through all modules for each frame, which was half
    # of the time of importing the API.
    no_docstrings = {"use_attribute_docstrings": False}
    return create_model(f"{document['displayName']}Config", __base__=base, __cls_kwargs__=no_docstrings, **fields)


def _login(document: Mapping[str, Any]) -> type[Config]:
    logins = [needed(each) for each in logins_of(document)]
    fields: dict[str, Any] = {}
    for name in dict.fromkeys(each for login in logins for each in login):
        kind = Text if name in _SHOWN else Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})]
        fields[name] = (kind | None, Field(default=None, description=_MEANINGS[name]))
    made: type[Config] = create_model(f"{document['displayName']}Login", __base__=ShippedLogin, **fields)
    made.model_config["json_schema_extra"] = {"anyOf": [{"required": [*each]} for each in logins]}
    made.model_rebuild(force=True)
    return made
