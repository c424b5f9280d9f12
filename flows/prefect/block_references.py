"""References to Prefect blocks in credentials: the connector stores the name of the block instead of the secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

from headrace.connectors.errors import SourceError

SCHEME = "prefect://"
WHOLE = "*"
"""The key of a reference to a block that has all credentials of a connector."""

PATTERN = r"^prefect://[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*(/[A-Za-z_][A-Za-z0-9_.]*)?$"
_REFERENCE = re.compile(PATTERN)

_NAMES: Mapping[str, Mapping[str, str]] = {
    "aws-credentials": {
        "aws_access_key_id": "accessKeyId",
        "aws_secret_access_key": "secretAccessKey",
        "aws_session_token": "sessionToken",
        "region_name": "region",
    },
    "snowflake-credentials": {"user": "username"},
}
"""Connector names of block fields, by block type; other fields use their name in camel case."""


@dataclass(frozen=True, slots=True)
class BlockReference:
    """`prefect://<type>/<name>[/<field>]`; nested fields are separated by dots."""

    type: str
    name: str
    field: str | None = None

    @classmethod
    def parse(cls, text: str) -> BlockReference:
        """Parses a reference. Raises SourceError(`bad_block_reference`)."""
        if not _REFERENCE.fullmatch(text):
            raise SourceError(
                "bad_block_reference",
                "A reference to a block of Prefect cannot be read.",
                "Write prefect://<block type>/<block name>, or that and /<field>; names are in lower case with dashes.",
            )
        kind, name, *field = text.removeprefix(SCHEME).split("/")
        return cls(kind, name, *field)

    def __str__(self) -> str:
        return SCHEME + "/".join(part for part in (self.type, self.name, self.field) if part)


class ReadBlock(Protocol):
    """Returns the fields of a block, decrypted. Raises SourceError when the block does not exist."""

    def __call__(self, reference: BlockReference) -> Mapping[str, Any]: ...


def is_reference(value: object) -> bool:
    """Whether a value begins like a reference, valid or not."""
    return isinstance(value, str) and value.startswith(SCHEME)


def references(credentials: Mapping[str, Any]) -> dict[str, str]:
    """The references in credentials by path (`password`, `tls.key`; `*` for all). Contains no secrets."""
    return dict(_found(credentials, ""))


def resolved(credentials: Mapping[str, Any], read: ReadBlock, allowed: Sequence[str]) -> dict[str, Any]:
    """The credentials with references replaced by the values of blocks. `allowed` are patterns of `type/name`.

    Raises SourceError: `block_not_allowed`, `block_field_missing`, and errors of `read`. Error texts contain no values.
    """
    blocks: dict[tuple[str, str], Mapping[str, Any]] = {}

    def block(reference: BlockReference) -> Mapping[str, Any]:
        key = (reference.type, reference.name)
        if not any(fnmatchcase("/".join(key), pattern) for pattern in allowed):
            raise SourceError(
                "block_not_allowed",
                f"The block {reference.type}/{reference.name} is not for this tenant.",
                "HEADRACE_PREFECT_BLOCKS says which are.",
            )
        if key not in blocks:
            blocks[key] = read(reference)
        return blocks[key]

    def value(given: Any) -> Any:
        if isinstance(given, dict):
            return {name: value(each) for name, each in given.items()}
        if isinstance(given, list):
            return [value(each) for each in given]
        if not is_reference(given):
            return given
        reference = BlockReference.parse(given)
        return _field(reference, block(reference))

    own = {name: value(each) for name, each in credentials.items() if name != WHOLE}
    if (whole := credentials.get(WHOLE)) is None:
        return own
    reference = BlockReference.parse(str(whole))
    fields: Any = block(reference)
    if reference.field is not None or "value" in fields:
        fields = _field(reference, fields)
    if not isinstance(fields, Mapping):
        raise SourceError(
            "block_field_missing",
            f"{reference} is a single value, and all credentials were to come from it.",
            'Name it where it belongs: "authConfig": {"password": "prefect://…"}.',
        )
    return {**_named(reference.type, fields), **own}


def _found(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if is_reference(value):
        yield path, value
    elif isinstance(value, Mapping | list):
        for name, each in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _found(each, f"{path}.{name}" if path else str(name))


def _field(reference: BlockReference, fields: Mapping[str, Any]) -> Any:
    """The referenced field; without a field name, the only field or the `value` of a Secret."""
    if reference.field is None:
        if "value" in fields or len(fields) == 1:
            return fields.get("value", next(iter(fields.values())))
        raise _no_field(reference, fields, "has several fields")
    found: Any = {"value": fields["value"]} | dict(fields) if "value" in fields else fields
    if "value" in fields and isinstance(fields["value"], Mapping) and reference.field.split(".")[0] not in fields:
        found = fields["value"]  # a Secret or JSON block that holds an object
    for step in reference.field.split("."):
        if not isinstance(found, Mapping) or step not in found:
            raise _no_field(reference, found if isinstance(found, Mapping) else fields, f"has no field '{step}'")
        found = found[step]
    return found


def _no_field(reference: BlockReference, fields: Mapping[str, Any], what: str) -> SourceError:
    names = ", ".join(sorted(str(name) for name in fields)) or "none"
    return SourceError(
        "block_field_missing",
        f"The block {reference.type}/{reference.name} {what}.",
        f"Its fields: {names}. Write prefect://{reference.type}/{reference.name}/<field>.",
    )


def _named(kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A block's fields by their connector names, without fields that are null."""
    known = _NAMES.get(kind, {})
    return {known.get(name, _camel(name)): each for name, each in fields.items() if each is not None}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in others)
