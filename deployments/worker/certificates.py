"""A CA bundle with one certificate, for Prefect's clients when the API has no TLS.

Each of Prefect's clients loads all certificate authorities, 30 ms of CPU, whatever the API's address. Worker and run
create eight clients before the first row, one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

import certifi

CERTIFICATES_SETTING = "PREFECT_API_SSL_CERT_FILE"
"""The setting of Prefect."""
_BUNDLE_NAME = "headrace-no-tls.pem"
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)


def minimal_ca_bundle(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables to add to the environment when the API has no TLS: the path of a bundle with one (unused) certificate
    in Prefect's home. Empty when the API has TLS or no address, or when the setting is already there."""
    if CERTIFICATES_SETTING in environment or not environment.get("PREFECT_API_URL", "").startswith("http://"):
        return {}
    found = _CERTIFICATE.search(Path(certifi.where()).read_text(encoding="ascii", errors="ignore"))
    if found is None:
        return {}
    home = Path(environment.get("PREFECT_HOME") or Path.home() / ".prefect")
    home.mkdir(parents=True, exist_ok=True)
    file = home / _BUNDLE_NAME
    with NamedTemporaryFile("w", dir=home, encoding="ascii", delete=False) as fresh:
        fresh.write(found.group())
    Path(fresh.name).replace(file)  # atomically: another worker may be reading it
    return {CERTIFICATES_SETTING: str(file)}
