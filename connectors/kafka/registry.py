"""A schema registry (Confluent's API), requested over HTTP under the egress rules; responses are cached."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import httpx

from headrace.connectors.errors import SourceError
from headrace.connectors.kafka.login import Access
from headrace.connectors.network.web_address import WebAddress
from headrace.connectors.stores.http.client import HttpClient, origin

_MOST_BYTES = 4 << 20


class SchemaRegistry:
    """Implements `messages.formats.Registry`."""

    def __init__(self, access: Access) -> None:
        url = access.place.schema_registry_url
        assert url is not None
        self._url = url.rstrip("/")
        address, headers, secrets = WebAddress.of(self._url), dict[str, str](), tuple[str, ...]()
        if access.login.registry_username is not None and access.login.registry_password is not None:
            password = access.login.registry_password.get_secret_value()
            pair = base64.b64encode(f"{access.login.registry_username}:{password}".encode()).decode()
            headers, secrets = {"Authorization": f"Basic {pair}"}, (password, pair)
            access.allowed(address.host, address.port, encrypted=address.url.scheme == "https")
        self._client = HttpClient(access.networks, headers, frozenset({origin(address)}), secrets)
        self._known: dict[str, Any] = {}

    def schema(self, number: int) -> Any:
        """The schema with that id. Raises SourceError."""
        return self._schema(f"/schemas/ids/{number}", f"the schema {number}")

    def latest(self, topic: str) -> Any:
        """The latest schema of a topic's values (subject `topic-value`). Raises SourceError."""
        return self._schema(
            f"/subjects/{quote(topic, safe='')}-value/versions/latest", f"the schema of the topic '{topic}'"
        )

    def _schema(self, path: str, what: str) -> Any:
        if path not in self._known:
            found = self._asked(path, what)
            kind = found.get("schemaType", "AVRO")
            if kind not in ("AVRO", "JSON") or found.get("references"):
                raise SourceError(
                    "unsupported_type",
                    f"In the schema registry, {what} is {kind}{' with references' if found.get('references') else ''}, "
                    "which cannot be read.",
                    "Avro and JSON Schema without references are read; format raw with base64 takes any payload.",
                )
            self._known[path] = found["schema"]
        return self._known[path]

    def _asked(self, path: str, what: str) -> Any:
        url = self._url + path
        try:
            with self._client.asked("GET", url, {"Accept": "application/vnd.schemaregistry.v1+json"}) as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    raise SourceError(
                        "unknown_schema", f"The schema registry does not have {what}.", "Register it there."
                    )
                if answer.status_code != httpx.codes.OK:
                    raise self._client.refused(url, answer)
                content = bytearray()
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > _MOST_BYTES:
                        raise SourceError("too_large", f"The schema registry's answer for {what} is too large.", "")
                found = json.loads(content)
        except httpx.HTTPError as error:
            raise self._client.failed(url, error) from None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not isinstance(found.get("schema"), str):
            raise SourceError(
                "not_readable", f"The server at {self._client.shown(url)} is not a schema registry.", "Check the URL."
            )
        return found
