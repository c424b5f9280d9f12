"""What Prefect's clients read to trust its API, where there is nothing to trust: an API without TLS.

Each of Prefect's clients first reads all certificate authorities of the world, 30 ms of CPU, whatever its API's
address. Worker and run make eight of them before the first row, one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

import certifi

CERTIFICATES = "PREFECT_API_SSL_CERT_FILE"
"""The setting."""
FEW = "headrace-no-tls.pem"
_ONE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)


def few_certificates(environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to an environment whose API has no TLS: its clients read one certificate, which nobody asks for, from
    a file in Prefect's home. Nothing where the API has TLS or is not named, or where the setting is."""
    if CERTIFICATES in environment or not environment.get("PREFECT_API_URL", "").startswith("http://"):
        return {}
    found = _ONE.search(Path(certifi.where()).read_text(encoding="ascii", errors="ignore"))
    if found is None:
        return {}
    home = Path(environment.get("PREFECT_HOME") or Path.home() / ".prefect")
    home.mkdir(parents=True, exist_ok=True)
    file = home / FEW
    with NamedTemporaryFile("w", dir=home, encoding="ascii", delete=False) as fresh:
        fresh.write(found.group())
    Path(fresh.name).replace(file)  # another worker of this home may be reading it
    return {CERTIFICATES: str(file)}
