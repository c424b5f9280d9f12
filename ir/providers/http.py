"""`http`: a value from any service that speaks JSON."""

from __future__ import annotations

from typing import ClassVar, Literal

from ir.providers.base import Pointer, ProviderConfig, UrlTemplate


class HttpConfig(ProviderConfig):
    """Gets `url`, or posts the fields there as a JSON object, and takes what `pointer` leads to in the answer; null
    where that is not there. `{field}` in the URL is the field's value."""

    asks_by_template: ClassVar[bool] = True
    method: Literal["GET", "POST"] = "GET"
    """Of the request."""
    url: UrlTemplate
    """With `{field}` in its path or query."""
    pointer: Pointer = ""
    """What of the answer is taken (RFC 6901)."""
