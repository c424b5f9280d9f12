"""Which files of a folder a source reads: pattern and ordering, the same for every store."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import near
from headrace.connectors.files.paths import printable
from headrace.connectors.files.patterns import expression_of, matching, of_paths

PATTERNS = ("glob", "regex", "date_glob")
ORDERINGS = ("latest_by_mtime", "fifo", "lexicographic", "process_all")
DATE_PARTS = {
    "{YYYY-MM-DD}": "%Y-%m-%d",
    "{YYYY}": "%Y",
    "{YY}": "%y",
    "{MM}": "%m",
    "{DD}": "%d",
    "{HH}": "%H",
}
_TEMPORARY = (".*", "~$*", "*~", "*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.swp")
"""Names of unfinished, temporary and hidden files."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as a store lists it; `name` is relative to the store's root, `version` changes when the content does."""

    name: str
    size: int
    mtime: float
    version: str


@dataclass(frozen=True, slots=True)
class Selection:
    """A checked `pattern` and `ordering`. Without a pattern every file matches."""

    kind: str = "glob"
    value: str = "*"
    timezone: str = "UTC"
    ordering: str = "lexicographic"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Selection:
        """Reads `config.pattern` and `config.ordering`. Raises SourceError(`bad_pattern`, `bad_ordering`)."""
        pattern = config.get("pattern") or {}
        if isinstance(pattern, str):
            pattern = {"type": "glob", "value": pattern}
        if not isinstance(pattern, Mapping):
            hint = 'For example {"type": "glob", "value": "orders_*.csv"}.'
            raise SourceError("bad_pattern", "A pattern is a text or an object.", hint)
        kind = str(pattern.get("type", "glob"))
        value = str(pattern.get("value") or (".*" if kind == "regex" else "*"))
        if kind not in PATTERNS:
            raise SourceError("bad_pattern", f"Unknown pattern type '{kind}'.", f"Use one of {', '.join(PATTERNS)}.")
        expression_of(kind, value)
        zone = str(pattern.get("timezone") or "UTC")
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones
            raise SourceError(
                "bad_pattern", f"Unknown timezone '{zone[:100]}'.", "Use an IANA name such as Europe/Berlin."
            ) from None
        ordering = str(config.get("ordering") or "lexicographic")
        if ordering not in ORDERINGS:
            raise SourceError(
                "bad_ordering",
                f"Unknown ordering '{ordering}'.",
                near(ordering, ORDERINGS) or f"Use one of {', '.join(ORDERINGS)}.",
            )
        return cls(kind, value, zone, ordering)

    def choose(
        self, files: Sequence[StoredFile], *, folder: str, now: datetime | None = None, within: str | None = None
    ) -> list[StoredFile]:
        """The files to read, in order. Raises SourceError(`file_not_found`), which names the files that are there."""
        ordered = self.ordered(self.matching(files, folder=folder, now=now, within=within))
        return ordered if self.takes_all else ordered[:1]

    @property
    def of_paths(self) -> bool:
        """Whether the pattern matches paths below the folder instead of names."""
        return of_paths(self.kind, self.value)

    @property
    def takes_all(self) -> bool:
        """Whether every match is read, not only the first."""
        return self.ordering == "process_all"

    def matching(
        self, files: Sequence[StoredFile], *, folder: str, now: datetime | None = None, within: str | None = None
    ) -> list[StoredFile]:
        """The files that match, temporary names left out. Raises SourceError(`file_not_found`) like `choose`. `within`
        is the folder's path in file names, if it differs from `folder`, its name in messages."""
        wanted = self.expanded(now)
        top = PurePosixPath(folder if within is None else within)
        base = {file.name: _below(file.name, top) if self.of_paths else _last(file.name) for file in files}
        finished = [file for file in files if not is_temporary(_last(file.name))]
        fits = matching(expression_of(self.kind, wanted), [base[file.name] for file in finished])
        found = [file for file, fitting in zip(finished, fits, strict=True) if fitting]
        for file in found:
            if printable(file.name) != file.name:
                raise SourceError("bad_name", f"The name of '{printable(file.name)}' is not UTF-8.", "Rename the file.")
        if not found:
            names = sorted(map(printable, base.values()))
            listed = (
                f"It holds: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}." if names else "It is empty."
            )
            hint = near(wanted, [printable(base[file.name]) for file in finished])
            if not hint and len(finished) < len(files):
                hint = "Hidden files and temporary names such as x.tmp and x.part are passed over."
            raise SourceError("file_not_found", f"No file in '{folder}' matches {self.kind} '{wanted}'. {listed}", hint)
        return found

    def ordered(self, files: Sequence[StoredFile]) -> list[StoredFile]:
        """The files in the order in which they are read."""
        if self.ordering == "latest_by_mtime":
            return sorted(files, key=lambda file: (file.mtime, file.name), reverse=True)
        if self.ordering == "fifo":
            return sorted(files, key=lambda file: (file.mtime, file.name))
        return sorted(files, key=lambda file: file.name)

    def expanded(self, now: datetime | None = None) -> str:
        """The pattern with a date_glob's {YYYY} {MM} {DD} {HH} filled in for today in its timezone."""
        if self.kind != "date_glob":
            return self.value
        return dated(self.value, now, self.timezone)


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _below(name: str, top: PurePosixPath) -> str:
    path = PurePosixPath(name)
    return path.relative_to(top).as_posix() if path.is_relative_to(top) else name


def dated(text: str, now: datetime | None = None, timezone: str = "UTC") -> str:
    """The text with {YYYY} {MM} {DD} {HH} and so on filled in for an aware time (default: now) in a timezone."""
    zone = ZoneInfo(timezone)
    local = (now or datetime.now(tz=zone)).astimezone(zone)
    for part, form in DATE_PARTS.items():
        text = text.replace(part, local.strftime(form))
    return text


def is_temporary(name: str) -> bool:
    """Whether the name is that of an unfinished, temporary or hidden file."""
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in _TEMPORARY)


def reads_subfolders(config: Mapping[str, Any], selection: Selection) -> bool:
    """Whether files of folders below the source's are meant. Raises SourceError(`bad_option`) where they cannot be."""
    below = selection.of_paths or bool(config.get("hivePartitioning"))
    if below and config.get("atomicity") is not None:
        hint = "Take files from one folder, or leave atomicity out."
        raise SourceError("bad_option", "config.atomicity takes no files out of folders below the source's.", hint)
    return below
