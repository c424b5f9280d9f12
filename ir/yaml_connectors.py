"""How sources and connector records name a connector's document: `yaml:github` and `github`, with `@3` for version 3;
without a version, the live one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import StringConstraints

PREFIX = "yaml:"
_REFERENCE = re.compile(r"([a-z][a-z0-9_]{0,62})(?:@([1-9][0-9]{0,8}))?")

Reference = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}(@[1-9][0-9]{0,8})?$")]
"""`github` or `github@3`."""


class Document(NamedTuple):
    """The document's id, and the version if one is named."""

    id: str
    version: int | None

    def __str__(self) -> str:
        return self.id if self.version is None else f"{self.id}@{self.version}"


def is_document(connector: str) -> bool:
    """Whether the `connector` of a source node names a document, well or badly."""
    return connector.startswith(PREFIX)


def reference_of(connector: str) -> Document | None:
    """Returns the document that the `connector` of a source node names; None if it names none."""
    return _parsed(connector.removeprefix(PREFIX)) if is_document(connector) else None


def reference_in(config: Mapping[str, Any]) -> Document | None:
    """Returns the document that a connector's config names; None if it names none."""
    named = config.get("document")
    return _parsed(named) if isinstance(named, str) else None


def _parsed(text: str) -> Document | None:
    found = _REFERENCE.fullmatch(text)
    return None if found is None else Document(found[1], int(found[2]) if found[2] else None)
