"""Builds a connector record of the type `rest_api` from a connector's document, or lists its problems."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.http.definition.model import Auth, ConnectorDocument, Endpoint
from headrace.connectors.http.settings import RestSettings
from headrace.connectors.network.web_address import WebAddress
from headrace.connectors.specs.base import AuthMethod, problems_of
from headrace.connectors.specs.services import RestApi
from headrace.ir.problems import MAX_PROBLEMS, Problem, nearest

_PLACE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.]{0,120})\s*\}\}")
_SECRET = re.compile(r"\{\{\s*secrets\.([A-Za-z_][A-Za-z0-9_]{0,62})\s*\}\}")
_OF_A_SLICE = ("parent.", "window.", "job.", "argument.")
_REFS = {
    "api_key": {"apiKey": "key_ref"},
    "bearer": {"token": "token_ref"},
    "basic": {"username": "username_ref", "password": "password_ref"},
    "oauth2": {"clientId": "client_id_ref", "clientSecret": "client_secret_ref"},
    "jwt_bearer": {"clientId": "client_id_ref", "username": "username_ref", "privateKey": "private_key_ref"},
    "session": {"username": "username_ref", "password": "password_ref"},
    "none": {},
}
AUTH_METHODS: dict[str, AuthMethod] = {
    "none": "none",
    "api_key": "token",
    "bearer": "token",
    "basic": "basic",
    "oauth2": "oauth2",
    "jwt_bearer": "key_pair",
    "session": "basic",
}
_HOST_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_MOST_CHARACTERS = 4_000_000
"""The most characters of all texts with their variables filled in: a long value in many places is more than memory
has."""
_NOT_SETTINGS = {"id", "description", "url", "response_rows_path", "rate_limit", "endpoint"}


@dataclass(slots=True)
class Built:
    """A connector record. `secrets` maps each credential to the name of its secret."""

    name: str
    config: dict[str, Any]
    auth_method: str
    secrets: dict[str, str]
    problems: list[Problem] = field(default_factory=list)
    logins: list[dict[str, Any]] = field(default_factory=list)
    """The authentications that the document allows; that of `config` is one of them."""


def document_problems(document: Mapping[str, Any]) -> list[Problem]:
    """All problems of a document: first of its shape, then of its content. Variables without a value are allowed."""
    found = problems_of(ConnectorDocument, _without_schema(document), path="connector")
    if found:
        return found
    read = ConnectorDocument.model_validate(_without_schema(document))
    addresses = [read.url, *(each.url for each in read.endpoints)]
    addresses += [url for each in read.auth for url in (each.token_url, each.login_url)]
    hosts = {begun[1].removeprefix("config.") for each in addresses if each and (begun := _PLACE.match(each))}
    stand_ins = {
        name: f"https://{name.replace('_', '-').lower()}.example" if name in hosts else "x"
        for name in variables_of(document)
    }
    return build(document, {**stand_ins, **_defaults(read)}).problems[:MAX_PROBLEMS]


def variables_of(document: Mapping[str, Any]) -> dict[str, str | None]:
    """The variables of a document, with their defaults. Its shape must be valid."""
    read = ConnectorDocument.model_validate(_without_schema(document))
    names = dict.fromkeys(read.variables)
    for text in _texts(document):
        for name in _PLACE.findall(text):
            plain = name.removeprefix("config.")
            if plain != "cursor" and not plain.startswith((*_OF_A_SLICE, "secrets.")):
                names.setdefault(plain)
    return {name: _defaults(read).get(name) for name in names}


def secrets_of(document: Mapping[str, Any]) -> list[str]:
    """The names of the credentials that a connector of the document needs, as they are in authConfig. Its shape must be
    valid."""
    return list(_Build(ConnectorDocument.model_validate(_without_schema(document)), {}).credentials())


def build(document: Mapping[str, Any], given: Mapping[str, str], login: int = 0) -> Built:
    """The record, with the `given` values of variables and the authentication at that index. The document's shape must
    be valid; other errors are added to `problems`, and the record must not be used then."""
    read = ConnectorDocument.model_validate(_without_schema(document))
    build = _Build(read, {**_defaults(read), **given})
    return build.made(login)


class _Build:
    def __init__(self, document: ConnectorDocument, values: Mapping[str, str]) -> None:
        self._document, self._values = document, values
        self._problems: list[Problem] = []
        self._left = _MOST_CHARACTERS

    def made(self, login: int) -> Built:
        document = self._document
        base = self._base()
        logins = [self._auth(each, f"connector.auth.{index}", base) for index, each in enumerate(document.auth)]
        auth, secrets, method = logins[login] if logins else ({}, {}, "none")
        endpoints: dict[str, Any] = {}
        for index, each in enumerate(document.endpoints):
            path = f"connector.endpoints.{index}"
            if each.id in endpoints:
                self._bad(f"{path}.id", "duplicate_id", f"There are two endpoints '{each.id}'", "name one otherwise")
            endpoints[each.id] = self._endpoint(each, path, base)
        config: dict[str, Any] = {"url": base, "endpoints": endpoints, **({"auth": auth} if auth else {})}
        rates = [each.rate_limit.requests_per_second for each in document.endpoints if each.rate_limit is not None]
        if rates:
            config["requestsPerSecond"] = min(rates)
        if document.read is not None:
            if document.read.primary in endpoints:
                config["test"] = {"endpoint": document.read.primary}
            else:
                hint = nearest(document.read.primary, endpoints)
                self._bad("connector.read.primary", "unknown_endpoint", f"There is no '{document.read.primary}'", hint)
        if base:  # problems of endpoints are already reported
            rest = {name: value for name, value in config.items() if name not in ("endpoints", "test")}
            self._problems += problems_of(RestApi, rest, path="connector")
        return Built(document.display_name, config, method, secrets, self._problems, [each for each, _, _ in logins])

    def credentials(self) -> dict[str, str]:
        return {name: secret for each in self._document.auth for name, secret in self._auth(each, "", "")[1].items()}

    def _auth(self, auth: Auth, path: str, base: str) -> tuple[dict[str, Any], dict[str, str], str]:
        found: dict[str, Any] = {"type": auth.type}
        for name in ("header", "query", "prefix", "audience"):
            if (value := getattr(auth, name)) is not None:
                found[name] = value
        if auth.type in ("oauth2", "jwt_bearer"):
            if auth.token_url is None:
                self._bad(path, "missing_field", f"'tokenUrl' is required for {auth.type}", "add it")
            found["oauthUrl"] = self._below(auth.token_url or "", f"{path}.tokenUrl", base)
            found |= {"scopes": auth.scopes} if auth.scopes else {}
        if auth.type == "oauth2":
            found["client"] = auth.client
        if auth.type == "jwt_bearer":
            if auth.audience is None:
                self._bad(path, "missing_field", "'audience' is required for jwt_bearer", "add it")
            else:
                found["audience"] = self._filled(auth.audience, f"{path}.audience")
        if auth.type == "session":
            if auth.login_url is None:
                self._bad(path, "missing_field", "'loginUrl' is required for session", "add it")
            found["loginUrl"] = self._below(auth.login_url or "", f"{path}.loginUrl", base)
            if auth.login is not None:
                found["login"] = auth.login.model_dump(by_alias=True, mode="json", exclude_unset=True)
        secrets: dict[str, str] = {}
        refs = dict(_REFS[auth.type])
        if auth.type == "basic" and auth.username is not None:
            found["username"], refs = auth.username, {"apiKey": "password_ref"}
        if auth.type == "oauth2" and auth.refresh_token_ref is not None:
            refs["refreshToken"] = "refresh_token_ref"
        for credential, attribute in refs.items():
            alias = type(auth).model_fields[attribute].alias or attribute
            text = getattr(auth, attribute)
            named = _SECRET.fullmatch(text or f"{{{{secrets.{credential}}}}}")
            if named is None:
                self._bad(
                    f"{path}.{alias}",
                    "secret_in_document",
                    "A secret is named, never written into the document",
                    f'write "{{{{secrets.{credential}}}}}"',
                )
            else:
                secrets[credential] = named[1]
        return found, secrets, AUTH_METHODS[auth.type]

    def _below(self, text: str, path: str, base: str) -> str:
        """A complete URL of a text that is one, or a path below the base."""
        filled = self._filled(text, path)
        return f"{base.rstrip('/')}{filled}" if filled.startswith("/") else filled

    def _base(self) -> str:
        if self._document.url is not None:
            return self._address(self._document.url, "connector.url")
        whole = next((each.url for each in self._document.endpoints if each.url is not None), None)
        if whole is None:
            self._bad("connector", "missing_field", "'url' is required", "add it, or a 'url' to every endpoint")
            return ""
        address = self._address(whole, "connector.endpoints.0.url")
        return _origin(address) if address else ""

    def _address(self, text: str, path: str) -> str:
        filled = self._filled(text, path)
        host = text.partition("://")[2].partition("/")[0] if not _PLACE.match(text) else ""
        for name in _PLACE.findall(host):  # otherwise a value could lead to another host than the document's
            value = self._values.get(name.removeprefix("config."))
            if value is not None and not _HOST_PART.fullmatch(value):
                plain = name.removeprefix("config.")
                self._bad(path, "bad_host", f"The variable '{plain}' is a part of a host's name", "such as my-shop")
                return ""
        try:
            WebAddress.of(filled.replace("{", "").replace("}", ""))
        except SourceError as error:
            # a user with a password may be in it, which is not repeated
            said = (
                "It is not an address, or has a user in it" if "@" in filled else f"'{filled[:200]}' is not an address"
            )
            self._bad(path, error.code, said, "it begins with https://, and credentials are given in 'auth'")
            return ""
        return filled

    def _endpoint(self, each: Endpoint, path: str, base: str) -> dict[str, Any]:
        given = each.model_dump(by_alias=True, mode="json", exclude_unset=True, exclude=_NOT_SETTINGS)
        if each.endpoint is not None:
            self._bad(f"{path}.endpoint", "bad_option", "'endpoint' is for source nodes", "remove it")
        if each.response_rows_path is not None:
            given["records"] = each.response_rows_path
        if (paging := given.get("pagination")) is not None:
            _as_settings(paging, given)
        if each.url is not None:
            whole = self._address(each.url, f"{path}.url")
            if base and whole and not f"{whole}/".startswith(f"{base.rstrip('/')}/"):
                self._bad(
                    f"{path}.url",
                    "foreign_endpoint",
                    f"'{whole[:200]}' is not below '{base}'",
                    "one connector has one address; make another connector",
                )
            elif base:
                given["path"] = whole[len(base.rstrip("/")) :]
        filled = self._filled_in(given, path)
        self._problems += problems_of(RestSettings, filled, path=path)
        return {str(name): value for name, value in filled.items()}

    def _filled_in(self, value: Any, path: str) -> Any:
        match value:
            case str(text):
                return self._filled(text, path)
            case dict(entries):
                return {name: self._filled_in(inner, f"{path}.{name}") for name, inner in entries.items()}
            case list(items):
                return [
                    each
                    for index, inner in enumerate(items)
                    for each in (self._items(inner) or [self._filled_in(inner, f"{path}.{index}")])
                ]
        return value

    def _items(self, item: Any) -> list[str]:
        """The items that a variable with `list` becomes; empty for any other item."""
        named = _PLACE.fullmatch(item.strip()) if isinstance(item, str) else None
        name = named[1].removeprefix("config.") if named is not None else ""
        variable = self._document.variables.get(name)
        if variable is None or not variable.list or name not in self._values:
            return []
        self._left -= len(self._values[name])
        return [each.strip() for each in self._values[name].split(",") if each.strip()] if self._left >= 0 else []

    def _filled(self, text: str, path: str) -> str:
        """A text with variables filled in, and placeholders of slices in the notation of source settings. Filled-in
        values are not expanded again."""

        def one(found: re.Match[str]) -> str:
            name = found[1].removeprefix("config.")
            if name == "cursor" or name.startswith(_OF_A_SLICE):
                return f"{{{name}}}"
            if name.startswith("secrets."):
                self._bad(
                    path,
                    "secret_in_request",
                    f"{{{{{name}}}}} is only allowed in 'auth'",
                    "requests are shown and logged",
                )
                return ""
            if name not in self._values:
                self._bad(
                    path, "unknown_variable", f"'{name}' has no value", "give it one, or a default in 'variables'"
                )
                return ""
            return self._values[name]

        if "{{" not in text:
            return text
        longest = max((len(value) for value in self._values.values()), default=0)
        if text.count("{{") * longest > self._left:
            if self._left >= 0:
                message = f"With its variables filled in, it has more than {_MOST_CHARACTERS:,} characters"
                self._bad(path, "too_large", message, "shorten the values, or use them in fewer places")
            self._left = -1
            return ""
        filled = _PLACE.sub(one, text)
        self._left -= len(filled)
        return filled

    def _bad(self, path: str, code: str, message: str, hint: str) -> None:
        self._problems.append(Problem(path, code, message, hint))


def _as_settings(paging: dict[str, Any], given: dict[str, Any]) -> None:
    """Converts `cursorField`, `cursorParam` and `maxPages` to the settings of a source."""
    if (most := paging.pop("maxPages", None)) is not None:
        given["maxPages"] = most
    field_path, param = paging.pop("cursorField", None), paging.pop("cursorParam", None)
    if field_path is not None:
        paging["next"] = field_path
        if param is not None:
            paging["param"] = param
        elif paging.get("type") == "cursor" and "param" not in paging:
            paging["type"] = "next_url"
    if paging.get("type") in ("next_url", "link", "none") and "sizeParam" not in paging:
        paging.pop("pageSize", None)


def _origin(address: str) -> str:
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _defaults(document: ConnectorDocument) -> dict[str, str]:
    return {name: str(each.default) for name, each in document.variables.items() if each.default is not None}


def _without_schema(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "$schema"}


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str(text):
            yield text
        case dict(entries):
            for inner in entries.values():
                yield from _texts(inner)
        case list(items):
            for inner in items:
                yield from _texts(inner)
