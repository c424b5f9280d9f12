"""The address of a workspace and its credentials: a personal access token, or a service principal's client id and
secret."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field

import httpx
from pydantic import ValidationError

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import Network
from headrace.connectors.network.reachability import unreachable
from headrace.connectors.network.web_address import WebAddress
from headrace.connectors.specs.base import problems_of
from headrace.connectors.specs.databases import Databricks, DatabricksLogin

_LEEWAY_S = 300
_ANSWER_BYTES = 1 << 16
_HOW = "Give 'token' (a personal access token), or 'clientId' and 'clientSecret' of a service principal (OAuth)."


@dataclass(slots=True)
class Access:
    """A workspace and its credentials. Its `repr` contains no secret."""

    place: Databricks
    address: WebAddress
    networks: tuple[Network, ...]
    secret: str = field(repr=False)
    """The token, or the principal's secret."""
    client: str | None = None
    """The principal's id."""
    _held: tuple[str, float] | None = field(default=None, repr=False)
    _alone: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def plain(self) -> bool:
        """Whether TLS is off, which is allowed only within the operator's networks."""
        return self.address.url.scheme == "http"

    def checked(self) -> str:
        """A checked address of the host. Raises SourceError."""
        return self.address.dialled(self.networks)[0]

    def token(self) -> str:
        """The token for requests; a service principal's is renewed before it expires. Raises SourceError."""
        if self.client is None:
            return self.secret
        with self._alone:
            if self._held is None or self._held[1] - _LEEWAY_S < time.time():
                self._held = self._given()
            return self._held[0]

    def _given(self) -> tuple[str, float]:
        """Fetches a token by OAuth's client credentials from the workspace."""
        there, host = WebAddress(self.address.url.copy_with(path="/oidc/v1/token", query=None)), self.address.host
        form = {"grant_type": "client_credentials", "scope": "all-apis"}
        try:
            with (
                httpx.Client(timeout=20, follow_redirects=False, trust_env=False) as client,
                client.stream(
                    "POST",
                    there.at(self.checked()),
                    data=form,
                    auth=(str(self.client), self.secret),
                    headers={"Host": there.url.netloc.decode()},
                    extensions={"sni_hostname": there.host},
                ) as answer,
            ):
                body = b""
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > _ANSWER_BYTES:
                        raise httpx.DecodingError("the answer is too long")
                status = answer.status_code
        except httpx.HTTPError as error:
            raise unreachable(host, error) from None
        try:
            found = json.loads(body)
            return str(found["access_token"]), time.time() + float(found.get("expires_in", 3600))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise SourceError(
                "bad_credentials",
                f"{host} gives the service principal no token; it answered {status}.",
                "Check 'clientId' and 'clientSecret' in authConfig, and that the principal may use the workspace.",
            ) from None


def access(context: Context) -> Access:
    """The login of a connection. Raises SourceError(`bad_credentials`, `bad_option`, `bad_url`)."""
    config = dict(context.connection.config)
    if found := problems_of(Databricks, config):
        raise SourceError("bad_option", f"{found[0].path}: {found[0].message}.", found[0].hint)
    place = Databricks.model_validate(config)
    bare = place.host.removeprefix("https://").rstrip("/")
    address = WebAddress.of(place.url or f"https://{bare}")
    allowed_ahead = (*context.surroundings.networks,)
    try:
        login = DatabricksLogin.model_validate(
            {name: value for name, value in context.connection.credentials.items() if value not in (None, "")}
        )
    except ValidationError:
        raise SourceError("bad_credentials", "The login is not complete, or more than one.", _HOW) from None
    if login.token is not None and login.client_secret is None and login.client_id is None:
        return Access(place, address, allowed_ahead, login.token.get_secret_value().strip())
    if login.token is None and login.client_secret is not None and login.client_id is not None:
        return Access(place, address, allowed_ahead, login.client_secret.get_secret_value().strip(), login.client_id)
    raise SourceError("bad_credentials", "The login is not complete, or more than one.", _HOW)
