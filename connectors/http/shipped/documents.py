"""The connector documents that come with Headrace, by id. They have no versions: those of a release are its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

from headrace.ir.yaml_connectors import Document

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def shipped_documents() -> Mapping[str, dict[str, Any]]:
    """The documents by id, in alphabetical order. They are shared: not to be changed."""
    texts = sorted((each for each in files(__package__).iterdir() if each.name.endswith(".yaml")), key=lambda e: e.name)
    found = [yaml.load(each.read_text(encoding="utf-8"), _LOADER) for each in texts]  # noqa: S506, a safe loader
    return MappingProxyType({document["id"]: document for document in found})


def document_of(wanted: Document, own: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The document of a reference: the tenant's `own` if there is one, else, without a version, that of Headrace; None
    if there is neither."""
    found = own.get(str(wanted))
    return shipped_documents().get(str(wanted)) if found is None else found
