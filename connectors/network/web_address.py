"""HTTP(S) URLs that users give: the host is resolved once, checked, and not resolved again.

All HTTP requests to URLs from documents or connectors use it, with a client that follows no redirects (they could lead
elsewhere) and uses no proxy from the environment.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import Network, allowed_addresses, is_allowed

_PORTS = {"http": 80, "https": 443}
_PLAIN = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+([/?#].*)?")
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A URL with its host name, for the certificate and the Host header."""

    url: httpx.URL

    @classmethod
    def of(cls, text: str) -> WebAddress:
        """Parses a URL. Raises SourceError(`bad_url`) unless it is http or https with a host and without a user
        name."""
        try:
            url = httpx.URL(text)
            if not _PLAIN.fullmatch(text) or not text.isprintable() or " " in text:
                raise ValueError
            if url.scheme not in _PORTS or not url.host or not 0 < cls(url).port <= _MAX_PORT:
                raise ValueError
        except (ValueError, TypeError, httpx.InvalidURL):
            what = "An address cannot be connected to: it has to be http(s)://host/…, without a user name."
            raise SourceError(
                "bad_url", what, "A host is written in ASCII (xn--…); a key is a credential of its own."
            ) from None
        return cls(url)

    def onward(self, text: str) -> WebAddress:
        """Resolves a link or a redirect relative to this URL. Raises SourceError(`bad_url`)."""
        try:
            joined = str(self.url.join(text))
        except (ValueError, TypeError, httpx.InvalidURL):
            raise SourceError(
                "bad_url", "A link leads to what is not an address.", "This must be corrected on its server."
            ) from None
        return WebAddress.of(joined)

    @property
    def host(self) -> str:
        """The host name as given."""
        return self.url.host

    @property
    def port(self) -> int:
        """The port as given, or the scheme's default."""
        return self.url.port if self.url.port is not None else _PORTS[self.url.scheme]

    def checked(self, networks: Sequence[Network]) -> str:
        """An address of the host that may be connected to. Raises SourceError like `allowed_addresses`."""
        return allowed_addresses(self.host, self.port, networks)[0]

    def dialled(self, networks: Sequence[Network]) -> list[str]:
        """All addresses of the host, which may be connected to, without TLS only within `networks`. Raises SourceError
        like `allowed_addresses`, and `insecure`."""
        found = allowed_addresses(self.host, self.port, networks)
        if self.url.scheme == "http" and any(is_allowed(ipaddress.ip_address(each), ()) for each in found):
            raise SourceError(
                "insecure", f"'{self.host}' would be reached over http, which others can read.", "Use https."
            )
        return found

    def at(self, address: str) -> httpx.URL:
        """The URL with a checked address instead of the host name, which goes into Host and SNI."""
        return self.url.copy_with(host=address)
