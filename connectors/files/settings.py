"""What the `config` of a source of files may hold, told to editors and in the reference.

The source reads its config itself (`connectors.files.local_fs`), when texts in it have the run's parameters.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from connectors.catalogue.base import ClosedConfig
from connectors.files.arrival_config import Atomicity, WaitPolicySettings

Character = Annotated[str, StringConstraints(min_length=1, max_length=1)]


class FilePattern(ClosedConfig):
    """Which files of a folder are meant, by their names."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: Literal["glob", "regex", "date_glob"] = "glob"
    """A `date_glob` is a glob with `{YYYY} {YY} {MM} {DD} {HH} {YYYY-MM-DD}`, which become today's."""
    value: str = "*"
    """The pattern; a regular expression must match the whole name."""
    timezone: str = "UTC"
    """Whose today it is."""


class DelimitedOptions(ClosedConfig):
    """How CSV and TSV are written."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    delimiter: Character | Literal["tab", "\\t"] | None = None
    """One ASCII character, or `tab`; a comma, or a tab for TSV, without it."""
    header: bool = True
    """Whether the first record names the columns."""
    encoding: str | None = "utf-8"
    """Any that Python knows: `latin-1`, `cp1252`, `utf-16`."""
    quote: Annotated[str, StringConstraints(max_length=1)] | None = '"'
    """One ASCII character; null where quotes mean nothing."""
    null_values: str | list[str] | None = None
    """Texts that are read as null besides the empty field."""
    compression: str | None = None
    """Without effect as yet."""


class FileSettings(ClosedConfig):
    """Which files are read, and how."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    path: str | None = None
    """A file or a folder below the files folder of the server."""
    pattern: str | FilePattern | None = None
    """Which files of the folder; all without it. A text is a glob."""
    ordering: Literal["latest_by_mtime", "fifo", "lexicographic", "process_all"] | None = "lexicographic"
    """Which match is read: the newest, the oldest, the first by name, or all of them in the order of their names."""
    format: Literal["csv", "tsv", "parquet"] | None = None
    """Told by the suffix without it."""
    options: DelimitedOptions | None = None
    """For CSV and TSV."""
    wait_policy: WaitPolicySettings | None = None
    """Look again when there is no finished match."""
    atomicity: Atomicity | None = None
    """Take files before they are read, and put them away when they are loaded; `{}` takes the usual folders."""
    settle_seconds: float | None = Field(default=None, ge=0, le=3600)
    """How long a file must be unchanged to count as finished: 2 seconds with either of the two above."""
