"""Checks the options of a format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.files.compression import compression_of
from headrace.connectors.files.delimited.dialect import near

OF_ALL = ("compression", "missingColumns")


def check_options(options: Mapping[str, Any], own: tuple[str, ...], form: str) -> None:
    """Raises SourceError(`bad_option`) for options that the format does not have, and for invalid values of the options
    that all formats share."""
    known = (*own, *OF_ALL)
    for name in options:
        if name not in known:
            hint = near(name, known) or f"It has: {', '.join(known)}."
            raise SourceError("bad_option", f"Unknown option '{name}' of {form}.", hint)
    if options.get("missingColumns") not in (None, "null", "fail"):
        given = options["missingColumns"]
        raise SourceError("bad_option", f"options.missingColumns must be 'null' or 'fail', not {given!r}.")
    compression_of(options, "")


def null_values_of(options: Mapping[str, Any]) -> tuple[str, ...]:
    """`options.nullValues`: texts that are read as null."""
    nulls = options.get("nullValues") or ()
    return (nulls,) if isinstance(nulls, str) else tuple(str(value) for value in nulls)
