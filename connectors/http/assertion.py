"""A signed JWT that is exchanged for an access token (RFC 7523)."""

from __future__ import annotations

import base64
import time

import msgspec

from headrace.connectors.errors import SourceError

_VALID_S = 180
"""Seconds for which the JWT is valid: Salesforce accepts five minutes at most."""


def signed_jwt(private_key: str, issuer: str, subject: str, audience: str) -> str:
    """A JWT of now, signed by RS256. `private_key` is PEM text without a password. Raises SourceError:
    `bad_credentials`, `not_installed`."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ModuleNotFoundError:
        raise SourceError(
            "not_installed", "Signing with 'privateKey' needs the module cryptography.", "pip install cryptography"
        ) from None
    try:
        key = load_pem_private_key(private_key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise SourceError(
            "bad_credentials",
            "'privateKey' is not an RSA key in PEM format without a password.",
            "Give the text that begins with -----BEGIN PRIVATE KEY-----.",
        )
    claims = {"iss": issuer, "sub": subject, "aud": audience, "exp": int(time.time()) + _VALID_S}
    said = f"{_part(msgspec.json.encode({'alg': 'RS256', 'typ': 'JWT'}))}.{_part(msgspec.json.encode(claims))}"
    return f"{said}.{_part(key.sign(said.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
