"""A Google service account: its key signs a request for an access token of one hour."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import Network
from headrace.connectors.network.reachability import unreachable
from headrace.connectors.network.web_address import WebAddress
from headrace.ir.redaction import redact

_TOKENS = "https://oauth2.googleapis.com/token"
STORAGE = "https://www.googleapis.com/auth/devstorage.read_write"
BIGQUERY = "https://www.googleapis.com/auth/bigquery"
_LEEWAY = timedelta(minutes=5)
_ANSWER_BYTES = 1 << 16


@dataclass(slots=True)
class ServiceAccount:
    """The account; clients call `token` before requests. `scope` is what its tokens are for."""

    email: str
    private_key: str = field(repr=False)
    key_id: str
    uri: str
    networks: Sequence[Network]
    scope: str = STORAGE
    _held: dict[str, Any] = field(default_factory=dict, repr=False)
    _alone: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, credentials: Mapping[str, Any], networks: Sequence[Network], scope: str = STORAGE) -> ServiceAccount:
        """Reads `serviceAccount` (the JSON file, as text or object) or its fields. Raises SourceError."""
        given = credentials.get("serviceAccount") or credentials.get("serviceAccountKey") or credentials
        if isinstance(given, str):
            try:
                given = json.loads(given)
            except ValueError:
                given = None
        found = given if isinstance(given, Mapping) else {}
        email, key = found.get("client_email"), found.get("private_key")
        if not isinstance(email, str) or not isinstance(key, str) or not email or not key:
            raise SourceError(
                "bad_credentials",
                "The connector has no service account.",
                "authConfig.serviceAccount is the JSON file of its key, with 'client_email' and 'private_key'.",
            )
        uri, key_id = str(found.get("token_uri") or _TOKENS), str(found.get("private_key_id") or "")
        return cls(email, key, key_id, uri, networks, scope)

    def token(self) -> Any:
        """`{"token", "expires_at"}`, renewed shortly before it expires. Raises SourceError."""
        with self._alone:
            if not self._held or self._held["expires_at"] - _LEEWAY < datetime.now(UTC):
                self._held = self._exchanged()
            return dict(self._held)

    def _exchanged(self) -> dict[str, Any]:
        there = WebAddress.of(self.uri)
        address = there.checked(self.networks)
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": self._signed()}
        try:
            with (
                httpx.Client(timeout=20, follow_redirects=False, trust_env=False) as client,
                client.stream(
                    "POST",
                    there.at(address),
                    data=form,
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
            raise unreachable(there.host, error) from None
        try:
            found = json.loads(body)
            token, seconds = str(found["access_token"]), float(found.get("expires_in", 3600))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise self._refused(there, status, body) from None
        return {"token": token, "expires_at": datetime.now(UTC) + timedelta(seconds=seconds)}

    def _refused(self, there: WebAddress, status: int, body: bytes) -> SourceError:
        try:
            found = json.loads(body)
            said = f": {found['error']} ({found.get('error_description', '')})"
        except (ValueError, TypeError, KeyError):
            said = ""
        said = redact(said[:300], [self.private_key])
        return SourceError(
            "login_refused",
            f"{there.host} gives {self.email[:200]} no token; it answered {status}{said}.",
            "Make a new key for the service account, and check the clock of this server.",
        )

    def _signed(self) -> str:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding, rsa

        try:
            key = serialization.load_pem_private_key(self.private_key.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise SourceError("bad_credentials", "The private key cannot be read.", "Copy the JSON file again, whole.")
        now = int(time.time())
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        claims = {"iss": self.email, "scope": self.scope, "aud": self.uri, "iat": now, "exp": now + 3600}
        text = ".".join(_base64url(json.dumps(each).encode()) for each in (head, claims))
        return f"{text}.{_base64url(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
