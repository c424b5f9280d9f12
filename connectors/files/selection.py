"""Which files of a folder a source means: pattern and ordering, the same for every file store."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.base import SourceError
from connectors.files.delimited.dialect import near

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
"""Names that programs give to what they have not finished, and to what is nobody's data."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as a store lists it; `name` is relative to the store's root, `version` changes when the content does."""

    name: str
    size: int
    mtime: float
    version: str


@dataclass(frozen=True, slots=True)
class Selection:
    """A checked `pattern` and `ordering`. No pattern takes every file."""

    kind: str = "glob"
    value: str = "*"
    timezone: str = "UTC"
    ordering: str = "lexicographic"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Selection:
        """Reads `config.pattern` and `config.ordering`; raises SourceError(`bad_pattern`, `bad_ordering`)."""
        pattern = config.get("pattern") or {}
        if isinstance(pattern, str):
            pattern = {"type": "glob", "value": pattern}
        kind, value = str(pattern.get("type", "glob")), str(pattern.get("value") or "*")
        if kind not in PATTERNS:
            raise SourceError("bad_pattern", f"Unknown pattern type '{kind}'.", f"Use one of {', '.join(PATTERNS)}.")
        if kind == "regex":
            try:
                re.compile(value)
            except re.error as error:
                raise SourceError(
                    "bad_pattern", f"The pattern '{value}' is not a regular expression: {error}."
                ) from None
        zone = str(pattern.get("timezone") or "UTC")
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise SourceError(
                "bad_pattern", f"Unknown timezone '{zone}'.", "Use an IANA name such as Europe/Berlin."
            ) from None
        ordering = str(config.get("ordering") or "lexicographic")
        if ordering not in ORDERINGS:
            raise SourceError(
                "bad_ordering",
                f"Unknown ordering '{ordering}'.",
                near(ordering, ORDERINGS) or f"Use one of {', '.join(ORDERINGS)}.",
            )
        return cls(kind, value, zone, ordering)

    def choose(self, files: Sequence[StoredFile], *, folder: str, now: datetime | None = None) -> list[StoredFile]:
        """The files to read, in order; raises SourceError(`file_not_found`) naming what is there instead."""
        ordered = self.ordered(self.matching(files, folder=folder, now=now))
        return ordered if self.takes_all else ordered[:1]

    @property
    def takes_all(self) -> bool:
        """Every match is read, not only the first."""
        return self.ordering == "process_all"

    def matching(self, files: Sequence[StoredFile], *, folder: str, now: datetime | None = None) -> list[StoredFile]:
        """The files that match, temporary names apart; raises SourceError(`file_not_found`) like `choose`."""
        wanted = self.expanded(now)
        base = {file.name: file.name.rpartition("/")[2] for file in files}
        finished = [file for file in files if not is_temporary(base[file.name])]
        if self.kind == "regex":
            matching = [file for file in finished if re.fullmatch(wanted, base[file.name])]
        else:
            matching = [file for file in finished if fnmatch.fnmatchcase(base[file.name], wanted)]
        if not matching:
            names = sorted(base.values())
            listed = (
                f"It holds: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}." if names else "It is empty."
            )
            hint = near(wanted, [base[file.name] for file in finished])
            if not hint and len(finished) < len(files):
                hint = "Hidden files and temporary names such as x.tmp and x.part are passed over."
            raise SourceError("file_not_found", f"No file in '{folder}' matches {self.kind} '{wanted}'. {listed}", hint)
        return matching

    def ordered(self, files: Sequence[StoredFile]) -> list[StoredFile]:
        """The files, the one to take first in front."""
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


def dated(text: str, now: datetime | None = None, timezone: str = "UTC") -> str:
    """The text with {YYYY} {MM} {DD} {HH} and so on filled in for that moment (aware; now if None) in a timezone."""
    zone = ZoneInfo(timezone)
    local = (now or datetime.now(tz=zone)).astimezone(zone)
    for part, form in DATE_PARTS.items():
        text = text.replace(part, local.strftime(form))
    return text


def is_temporary(name: str) -> bool:
    """Whether a file of that name is still being written, or is no data at all."""
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in _TEMPORARY)
