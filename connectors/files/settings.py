"""The `config` of file sources, for editors and the reference.

The source reads its config itself (`connectors.files.source`), once run parameters in it have been filled in.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from headrace.connectors.files.arrival.settings import Atomicity, WaitPolicySettings
from headrace.connectors.specs.base import ClosedConfig

Character = Annotated[str, StringConstraints(min_length=1, max_length=1)]


class FilePattern(ClosedConfig):
    """Which files of a folder are read, by their names."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: Literal["glob", "regex", "date_glob"] = "glob"
    """A `date_glob` is a glob with `{YYYY} {YY} {MM} {DD} {HH} {YYYY-MM-DD}`, filled in for today."""
    value: str = "*"
    """The pattern, 1,000 characters at most. A regular expression is in Rust's syntax, as in the rule `regex`, and must
    match the whole name."""
    timezone: str = "UTC"
    """The timezone of today."""


class FixedColumn(ClosedConfig):
    """A column of a fixed-width file."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """The name of the column."""
    start: int = Field(ge=1, le=1_000_000)
    """The position of its first character in the line, from 1."""
    width: int = Field(ge=1, le=1_000_000)
    """Its width in characters; blanks around the value are removed."""


class FileOptions(ClosedConfig):
    """How the file is written. Each option is for the formats that it names; options of other formats are refused."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    delimiter: Character | Literal["tab", "\\t"] | None = None
    """CSV, TSV: one ASCII character, or `tab`. Default: a comma, or a tab for TSV."""
    header: bool = True
    """CSV, TSV: whether the first record names the columns. Excel: whether `headerRow` does."""
    encoding: str | None = "utf-8"
    """Text formats except XML: an encoding of text files that Python knows, such as `latin-1`, `cp1252`, `utf-16`."""
    quote: Annotated[str, StringConstraints(max_length=1)] | None = '"'
    """CSV, TSV: one ASCII character; null if quotes have no meaning."""
    escape: Annotated[str, StringConstraints(max_length=1)] | None = None
    """CSV, TSV: the character before a quote within quotes, as in `\\"`, and before itself. Without it quotes are
    doubled. A file with escapes is read by one partition."""
    comment: Annotated[str, StringConstraints(max_length=8)] | None = None
    """CSV, TSV: lines that begin with it, outside of quotes, are skipped. A file with comments is read by one
    partition."""
    skip_rows: int = Field(default=0, ge=0, le=10_000)
    """CSV, TSV, fixed width: the number of lines to skip before the header (or the first row)."""
    null_values: str | list[str] | None = None
    """Texts that are read as null: CSV and TSV (besides the empty field), JSON, XML, Excel and fixed width."""
    decimal: Literal[".", ","] | None = None
    """CSV, TSV, fixed width: the decimal separator."""
    thousands: Literal[",", ".", " ", "'", "_"] | None = None
    """CSV, TSV, fixed width: the separator between groups of three digits; a blank includes no-break spaces."""
    header_matching: Literal["exact", "trim", "caseInsensitive"] | None = None
    """CSV, TSV: how names of the header are compared with `fields`: exactly; ignoring blanks around them; also ignoring
    case (the default)."""
    missing_columns: Literal["null", "fail"] | None = None
    """What happens to a column that some of several files lack: it is null there, or the run fails. By default it is
    null if it is declared in `fields`, else the run fails. In JSON and XML, rows omit nulls: a declared column that no
    row has is null unless this is `fail`."""
    compression: Literal["auto", "none", "gzip", "zstd", "bz2", "xz", "zip"] | None = None
    """Default: by the suffix (`orders.csv.gz`). A zip archive holds one file. Compressed text is read by one partition;
    other formats are unpacked to a temporary file first."""
    path: str | None = None
    """JSON: the path of the array whose elements are the rows, `data.items` or `/data/items`. Default: the document
    itself."""
    row: str | None = None
    """XML, required: the element that is a row, by its name without a namespace, or by the end of its path,
    `orders/order`. Attributes become columns such as `@id`; elements that repeat or contain elements become json."""
    sheet: str | int | None = None
    """Excel: the sheet by name, or by position from 1. Default: the first."""
    header_row: int | None = Field(default=None, ge=1, le=1_048_576)
    """Excel: the row that names the columns, from 1; rows above it are skipped."""
    columns: list[FixedColumn] | None = None
    """Fixed width: the columns, in characters."""


class FileSettings(ClosedConfig):
    """Which files are read, and how."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    path: str | None = None
    """A file or a folder, relative to the connector's folder: for `local_fs`, the tenant's files folder."""
    pattern: str | FilePattern | None = None
    """The files to read in the folder; all by default. A text is a glob. With a `/` it matches paths in subfolders:
    `2024/*.csv`, and `**/*.csv` for all subfolders."""
    ordering: Literal["latest_by_mtime", "fifo", "lexicographic", "process_all"] | None = "lexicographic"
    """Which match is read: the newest, the oldest, the first by name, or all of them in the order of their names."""
    format: Literal["csv", "tsv", "jsonl", "json", "parquet", "avro", "orc", "xml", "excel", "fixed"] | None = None
    """Default: by the suffix, without that of a compression. `jsonl` is one object per line, `json` an array of
    objects, `fixed` fixed-width text."""
    options: FileOptions | None = None
    """How the files are written."""
    hive_partitioning: bool | None = None
    """Folders such as `day=2024-01-31/region=eu/` below the source's become columns of the rows of their files."""
    file_name_column: str | None = None
    """The name of a column for the path of each row's file."""
    row_number_column: str | None = None
    """The name of a column for the number of each row within its file, from 1."""
    on_bad_file: Literal["fail", "skip"] | None = None
    """What happens if one of several files cannot be read at all: the run fails, or the others are loaded and it is
    reported. With `atomicity` it is moved to the `failureFolder` either way."""
    wait_policy: WaitPolicySettings | None = None
    """Look again if there is no complete match."""
    atomicity: Atomicity | None = None
    """Claim files before they are read, and archive them when they are loaded; `{}` uses the default folders."""
    settle_seconds: float | None = Field(default=None, ge=0, le=3600)
    """Seconds that a file must be unchanged to count as complete; 2 by default with `waitPolicy` or `atomicity`."""
