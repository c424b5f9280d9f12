"""The files of a source, each with the format that reads it, and unpacked as that format needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.files.chosen_files import ChosenFiles
from headrace.connectors.files.compression import compression_of, inner_suffix
from headrace.connectors.files.compression.spooled import spooled
from headrace.connectors.files.delimited.dialect import near
from headrace.connectors.files.formats import FORMATS, SUFFIXES, FileFormat


class ReadableFiles:
    """`formats` replaces the registry's formats by ready-made ones. `scratch` is the folder for unpacked copies."""

    def __init__(
        self,
        config: Mapping[str, Any],
        chosen: ChosenFiles,
        *,
        formats: Mapping[str, FileFormat] | None,
        scratch: Path | None,
    ) -> None:
        self._config = config
        self._chosen = chosen
        self._formats = formats
        self._scratch = scratch

    @contextmanager
    def opened(self, name: str, changed: str) -> Iterator[tuple[FileFormat, Path]]:
        """The format of a file, and where it is to be read as the format wants it; see `opened_unchanged`."""
        form = self._format(name)
        with self._chosen.opened(name, changed) as opened:
            packed = compression_of(self._config.get("options") or {}, name) if form.unpacked else None
            with spooled(opened.path, packed, folder=self._scratch) as path:
                yield form, path

    def _format(self, name: str) -> FileFormat:
        kind = str(self._config.get("format") or inner_suffix(name) or "csv").lower()
        kind = SUFFIXES.get(kind, kind)
        formats: Mapping[str, object] = FORMATS if self._formats is None else self._formats
        if kind not in formats:
            raise SourceError(
                "unknown_format",
                f"Unknown format '{kind}' for {name}.",
                near(kind, tuple(formats)) or f"Set config.format to one of {', '.join(formats)}.",
            )
        if self._formats is not None:
            return self._formats[kind]
        return FORMATS[kind](self._config.get("options") or {})
