"""Authentication of requests: API keys, bearer tokens, passwords; fetched tokens of OAuth 2.0 and of logins."""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from headrace.connectors.errors import SourceError
from headrace.connectors.http.answers import Answer, text_at
from headrace.connectors.http.assertion import signed_jwt
from headrace.connectors.http.request_settings import OWN_HEADERS
from headrace.connectors.specs.services import RestApi, RestAuth, SessionLogin
from headrace.ir.redaction import secret_texts

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_FETCHED = ("oauth2", "jwt_bearer", "session")
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_JSON = {"Content-Type": "application/json"}
_OF_HEADER = "header:"
_EARLY_S = 30.0
"""Seconds before its expiry at which a token is renewed."""

Fetch = Callable[[str, bytes, Mapping[str, str]], Answer]
"""Posts a body (URL, body, headers) and returns a successful response."""


class Login:
    """Credentials of requests: `headers` and `query`, sent to the API's own origin only. Thread-safe."""

    def __init__(self, config: RestApi, credentials: Mapping[str, Any], fetch: Fetch) -> None:
        """Raises SourceError(`bad_credentials`)."""
        self._auth = config.auth or RestAuth(type=_type_of(config, credentials))
        self._credentials = {name: str(value) for name, value in credentials.items() if isinstance(value, str | int)}
        self._fetch = fetch
        self._lock = threading.Lock()
        self._token, self._until, self._fetched = "", 0.0, 0
        headers = credentials.get("headers")
        self._always = {str(name): str(each) for name, each in headers.items()} if isinstance(headers, Mapping) else {}
        self.secrets: list[str] = list(secret_texts(credentials))
        self.query: dict[str, str] = {}
        if self._auth.type == "api_key":
            key = self._needed("apiKey", "token")
            if self._auth.query is not None:
                self.query = {self._auth.query: key}
            else:
                self._always[self._auth.header or "X-Api-Key"] = f"{self._auth.prefix or ''}{key}"
        elif self._auth.type == "bearer":
            token = self._needed("token", "accessToken", "apiKey")
            self._always["Authorization"] = f"{self._auth.prefix or 'Bearer '}{token}"
        elif self._auth.type == "basic":
            user = self._auth.username or self._needed("username")
            password = self._credentials.get("password", "")
            if self._auth.username:  # the password is the whole secret
                password = self._needed("apiKey", "password")
            self._always["Authorization"] = self._basic(user, password)
        for name, value in self._always.items():
            if name.lower() in OWN_HEADERS or not _NAME.fullmatch(name):
                raise SourceError("bad_credentials", f"A header cannot be called '{name[:60]!a}'.", "Remove it.")
            if not value.isascii() or not value.isprintable():
                raise SourceError(
                    "bad_credentials",
                    f"The header {name} cannot be sent.",
                    "It has a character not allowed in headers.",
                )

    @property
    def any(self) -> bool:
        """Whether there are secrets."""
        return bool(self._always or self.query or self._auth.type in _FETCHED)

    def headers(self) -> tuple[dict[str, str], int]:
        """The headers, and the token's number for `refused`."""
        if self._auth.type not in _FETCHED:
            return dict(self._always), 0
        with self._lock:
            if not self._token or time.monotonic() >= self._until:
                self._renew()
            prefix = self._auth.prefix
            if prefix is None:
                prefix = "" if self._auth.header else "Bearer "
            return {**self._always, self._auth.header or "Authorization": f"{prefix}{self._token}"}, self._fetched

    @property
    def hint(self) -> str:
        """What to do when a token is refused."""
        if self._auth.type == "session":
            return "Check username and password, and config.auth.login."
        return "Check clientId, clientSecret and scopes."

    def refused(self, number: int) -> bool:
        """Called after a 401: fetches another token unless that was done already; returns whether to retry the
        request."""
        if self._auth.type not in _FETCHED:
            return False
        with self._lock:
            if self._fetched == number:
                self._renew()
            return True

    def _renew(self) -> None:
        token, seconds = self._session() if self._auth.type == "session" else self._access_token()
        if token is None or not token or not token.isascii() or not token.isprintable():
            raise SourceError("login_refused", "The server of tokens gave no token that can be sent.", self.hint)
        self.secrets.append(token)
        self._token, self._fetched = token, self._fetched + 1
        self._until = time.monotonic() + max(seconds - _EARLY_S, seconds / 2) if seconds else float("inf")

    def _session(self) -> tuple[str | None, float]:
        """A token by a login with a user name and a password, and its seconds."""
        auth, login = self._auth, self._auth.login or SessionLogin()
        if auth.login_url is None:
            raise SourceError("bad_credentials", "A session needs the address of logins.", "Set config.auth.loginUrl.")
        user, password = self._needed("username"), self._needed("password")
        body, headers = dict[str, Any](login.body), dict(_FORM if login.format == "form" else _JSON)
        if login.format == "basic":
            headers["Authorization"] = self._basic(user, password)
        else:
            body |= {login.username_key: user, login.password_key: password}
        text = urlencode(body).encode() if login.format == "form" else msgspec.json.encode(body) if body else b""
        answer = self._fetch(auth.login_url, text, headers)
        seconds = (login.valid_minutes or 0) * 60
        if login.token.startswith(_OF_HEADER):
            return answer.headers.get(login.token.removeprefix(_OF_HEADER).strip().lower()), seconds
        try:
            return text_at(answer, login.token), seconds
        except SourceError:  # its message could have a part of the answer
            return None, seconds

    def _access_token(self) -> tuple[str | None, float]:
        """A token of OAuth 2.0, and its seconds."""
        auth = self._auth
        if auth.oauth_url is None:
            raise SourceError("bad_credentials", "OAuth needs the address of tokens.", "Set config.auth.oauthUrl.")
        form, headers = self._signed() if auth.type == "jwt_bearer" else self._granted()
        text = urlencode({key: value for key, value in form.items() if value}).encode()
        answer = self._fetch(auth.oauth_url, text, {**_FORM, **headers})
        try:
            found = msgspec.json.decode(answer.body, type=dict[str, Any])
            token = found["access_token"]
            return (token if isinstance(token, str) else None), float(found.get("expires_in") or 0)
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
            return None, 0.0

    def _basic(self, user: str, password: str) -> str:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.secrets.append(pair)
        return f"Basic {pair}"

    def _granted(self) -> tuple[dict[str, str], dict[str, str]]:
        """The form and headers for a token by the client's credentials or a refresh token."""
        auth, headers = self._auth, dict[str, str]()
        client, secret = self._needed("clientId"), self._needed("clientSecret")
        refresh = self._credentials.get("refreshToken")
        form = {"grant_type": "refresh_token" if refresh else "client_credentials", "refresh_token": refresh or ""}
        if auth.scopes:
            form["scope"] = " ".join(auth.scopes)
        if auth.audience:
            form["audience"] = auth.audience
        if auth.client == "header":
            headers["Authorization"] = self._basic(client, secret)
        else:
            form |= {"client_id": client, "client_secret": secret}
        return form, headers

    def _signed(self) -> tuple[dict[str, str], dict[str, str]]:
        """The form for a token by a signed JWT (RFC 7523)."""
        made = signed_jwt(
            self._needed("privateKey"), self._needed("clientId"), self._needed("username"), self._auth.audience or ""
        )
        self.secrets.append(made)
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": made}, {}

    def _needed(self, *names: str) -> str:
        for name in names:
            if self._credentials.get(name):
                return self._credentials[name]
        raise SourceError(
            "bad_credentials",
            f"The login by {self._auth.type} needs '{names[0]}'.",
            "Give it in the connector's authConfig.",
        )


def _type_of(config: RestApi, credentials: Mapping[str, Any]) -> Any:
    del config
    if credentials.get("clientId"):
        return "jwt_bearer" if credentials.get("privateKey") else "oauth2"
    if credentials.get("token") or credentials.get("accessToken"):
        return "bearer"
    if credentials.get("username"):
        return "basic"
    return "api_key" if credentials.get("apiKey") else "none"
