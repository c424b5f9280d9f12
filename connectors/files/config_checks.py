"""Problems in a file source's config that can be found before any file is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.files.added_columns import AddedColumns
from headrace.connectors.files.arrival.settings import PARAMETER, arrival_problems
from headrace.connectors.files.compression import inner_suffix
from headrace.connectors.files.delimited.dialect import Dialect
from headrace.connectors.files.formats import FORMATS, SUFFIXES
from headrace.connectors.files.inspected_files import skips_bad_files
from headrace.connectors.files.selection import Selection, reads_subfolders
from headrace.ir.problems import Problem


def file_problems(config: Mapping[str, Any]) -> list[Problem]:
    """All problems. Texts with a placeholder of a run parameter (`{{name}}`) are checked when the run fills them in."""
    return [*_selection_problems(config), *arrival_problems(config), *_option_problems(config)]


def _selection_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    for place, part in _parts(config):
        if PARAMETER.search(str(part)):
            continue
        try:
            Selection.from_config(part)
        except SourceError as error:
            yield Problem(f"config.{place}", error.code, error.message.removesuffix("."), error.hint)


def _parts(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each setting as a separate config, with its path."""
    pattern = config.get("pattern")
    if isinstance(pattern, Mapping):
        kind = pattern.get("type", "glob")
        yield "pattern.type", {"pattern": {"type": kind}}
        if kind == "regex":
            yield "pattern.value", {"pattern": {"type": kind, "value": pattern.get("value")}}
        else:
            yield "pattern.value", {"pattern": {"value": pattern.get("value")}}
        yield "pattern.timezone", {"pattern": {"timezone": pattern.get("timezone")}}
    else:
        yield "pattern", {"pattern": pattern}
    yield "ordering", {"ordering": config.get("ordering")}


def _option_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    options = config.get("options") or {}
    kind = str(config.get("format") or _format_of_suffix(config) or "csv").lower()
    kind = SUFFIXES.get(kind, kind)
    if isinstance(options, Mapping) and kind in FORMATS:
        known = {name: value for name, value in options.items() if not PARAMETER.search(str(value))}
        try:
            if kind in ("csv", "tsv"):
                Dialect.from_options(known, delimiter="\t" if known.get("delimiter") is None else ",")
            elif len(known) == len(options):
                FORMATS[kind](known)
        except SourceError as error:
            place = "config.options.encoding" if error.code == "unknown_encoding" else "config.options"
            yield Problem(place, error.code, error.message.removesuffix("."), error.hint)
    try:
        reads_subfolders(config, Selection.from_config({"pattern": config.get("pattern")}))
    except SourceError as error:
        if error.code == "bad_option":  # other errors are reported for the pattern
            yield Problem("config.atomicity", error.code, error.message.removesuffix("."), error.hint)
    for name in ("fileNameColumn", "rowNumberColumn", "onBadFile"):
        part = {name: config.get(name)}
        if PARAMETER.search(str(part)):
            continue
        try:
            AddedColumns(part, "")
            skips_bad_files(part)
        except SourceError as error:
            yield Problem(f"config.{name}", error.code, error.message.removesuffix("."), error.hint)


def _format_of_suffix(config: Mapping[str, Any]) -> str:
    """The format by the suffix of `path`, if there is no pattern or placeholder."""
    path = str(config.get("path") or "")
    kind = "" if config.get("pattern") or PARAMETER.search(path) else inner_suffix(path)
    return kind if SUFFIXES.get(kind, kind) in FORMATS else ""
