"""The address and credentials of Prefect's API, for plain HTTP requests.

Prefect's own clients read the same two variables from their environment.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

AUTH_STRING = "PREFECT_API_AUTH_STRING"
"""`user:password` for a Prefect server with PREFECT_SERVER_API_AUTH_STRING."""
API_KEY = "PREFECT_API_KEY"
"""The bearer token of Prefect Cloud or of a proxy."""
SIGN_IN_LINKS_PATH, SIGN_IN_PATH = "/headrace/sign-in-links", "/headrace/sign-in"
"""Paths that only the stack's own Prefect server has (`deployments.stack.prefect_sign_in`)."""


AUTH_HINT = f"Set {AUTH_STRING} to what the server has as PREFECT_SERVER_API_AUTH_STRING."


class NotAuthorized(Exception):
    """Prefect rejects this process's credentials; a retry does not help."""

    def __init__(self, url: str, status: int) -> None:
        super().__init__(f"Prefect at {url} answered {status}: it rejects this process's credentials. {AUTH_HINT}")


@dataclass(frozen=True, slots=True)
class PrefectApi:
    """An API's address (ends in `/api`) and its credentials, which are not in its `repr`."""

    url: str
    auth_string: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str, environment: Mapping[str, str] = os.environ) -> PrefectApi:
        """The API at `url`, with the credentials of the environment, if any (a server without auth ignores them)."""
        return cls(url.rstrip("/"), environment.get(AUTH_STRING) or None, environment.get(API_KEY) or None)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        if self.auth_string:
            return {"Authorization": f"Basic {base64.b64encode(self.auth_string.encode()).decode()}"}
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    @property
    def environment(self) -> dict[str, str]:
        """The variables that configure Prefect's own clients."""
        given = {"PREFECT_API_URL": self.url, AUTH_STRING: self.auth_string, API_KEY: self.api_key}
        return {name: value for name, value in given.items() if value}

    def let_in(self, answer: httpx.Response) -> httpx.Response:
        """Returns the answer. Raises NotLetIn for status 401 and 403."""
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise NotAuthorized(self.url, answer.status_code)
        return answer

    def client(self, timeout: float) -> httpx.Client:
        """A client whose paths are relative to the API's address."""
        tls = not self.url.startswith("http:")  # loading the certificate authorities takes long
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=timeout, verify=tls)
