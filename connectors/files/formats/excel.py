"""Sheets of Excel and OpenDocument workbooks: one piece. Values are as stored in the workbook, numbers as doubles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import compress, filterfalse, islice, repeat
from operator import itemgetter
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

from headrace.connectors.batch_size import NextBatch
from headrace.connectors.column_names import canonical_name
from headrace.connectors.errors import SourceError
from headrace.connectors.files.compression.reading import ExpansionLimits
from headrace.connectors.files.delimited.dialect import near, unique_names
from headrace.connectors.files.formats.json_rows import JsonRows
from headrace.connectors.files.jsontext.block import Block, block_of_lines
from headrace.connectors.files.optional_libraries import import_optional, rust_panics
from headrace.connectors.files.streams import ByteStream
from headrace.ir.base import is_whole_number

BATCH_ROWS = 20_000
_BOUNDS = ExpansionLimits(size=4 << 30)
"""Limit for the parts of a workbook, which are in memory while it is read."""


class Excel(JsonRows):
    """Options: sheet, header, headerRow, nullValues."""

    form = "excel"
    own = ("sheet", "header", "headerRow")
    whole = True
    unpacked = True

    def __init__(self, options: Mapping[str, Any], *, batch_rows: int = BATCH_ROWS) -> None:
        super().__init__(options)
        self._sheet = options.get("sheet")
        self._header = bool(options.get("header", True))
        row = 1 if options.get("headerRow") is None else options["headerRow"]
        if not is_whole_number(row) or row < 1:
            raise SourceError("bad_option", f"options.headerRow must be a row from 1 on, not {row!r}.")
        placed = is_whole_number(self._sheet) and self._sheet > 0
        if self._sheet is not None and not placed and not isinstance(self._sheet, str):
            raise SourceError("bad_option", f"options.sheet must be a name, or a place from 1 on, not {self._sheet!r}.")
        self._first = row
        self._batch_rows = batch_rows

    def _stream(self, path: Path, name: str) -> ByteStream:
        return _Workbook(path, self._sheet)

    def _start(self, stream: ByteStream) -> int:
        return 0

    def _blocks(self, stream: ByteStream, start: int, end: int | None) -> Iterator[Block]:
        assert isinstance(stream, _Workbook)
        rows = stream.rows(self._first - 1)
        names = self._names(rows, stream.width)
        keys = unique_names(names, (), "the sheet")
        blank = [""] * stream.width
        records = filterfalse(blank.__eq__, rows)  # rows without a value are skipped, like blank lines of CSV
        done = start
        for _ in islice(records, start):
            pass
        size = NextBatch(self._batch_rows)
        while end is None or done < end:
            some = list(islice(records, size.rows if end is None else min(size.rows, end - done)))
            if not some:
                return
            done += len(some)
            # A column without a name counts only if it has a value.
            kept = [bool(name) or any(map(itemgetter(place), some)) for place, name in enumerate(names)]
            reason = list(compress(keys, kept))
            block = block_of_lines(list(map(dict, map(zip, repeat(reason), map(compress, some, repeat(kept))))), done)
            size.had(len(some), len(block.text))
            yield block

    def _names(self, rows: Iterator[list[Any]], width: int) -> list[str]:
        if not self._header:
            return [f"column_{place}" for place in range(1, width + 1)]
        cells = next(rows, None)
        if cells is None or not any(str(cell) for cell in cells):
            raise SourceError(
                "bad_header",
                f"Row {self._first} of the sheet has no names.",
                "Set options.headerRow to the row that has.",
            )
        return [canonical_name(" ".join(_text(cell).split())) for cell in cells]


def _text(cell: Any) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


class _Workbook:
    """A sheet of an open workbook."""

    size: int | None = None
    seekable = False
    transcoded = False

    def __init__(self, path: Path, sheet: str | int | None) -> None:
        calamine = import_optional("python_calamine", "excel")
        if not path.stat().st_size:
            raise SourceError("empty_file", "It is empty.", "A workbook has at least a sheet.")
        _check_size(path)
        with rust_panics("bad_excel"):
            try:
                self._file = path.open("rb")
                self._book = calamine.CalamineWorkbook.from_filelike(self._file)
                names: list[str] = self._book.sheet_names
                if not names:
                    raise SourceError("empty_file", "It has no sheet.")
                self._read = self._book.get_sheet_by_name(_chosen(sheet, names))
            except (calamine.CalamineError, OSError, ValueError) as error:
                reason = (str(error).splitlines() or ["it is none"])[0]
                raise SourceError("bad_excel", f"It is not a workbook that can be read: {reason}.") from None
        self.width = int(self._read.width)

    def rows(self, first: int) -> Iterator[list[Any]]:
        """The rows of the sheet from row `first` (from 0) on, all of the same width."""
        begin = self._read.start
        if begin is None:
            return iter(())
        return islice(self._all(), first, None)

    def _all(self) -> Iterator[list[Any]]:
        with rust_panics("bad_excel"):
            yield from self._read.iter_rows()

    def read_at(self, offset: int, length: int) -> bytes:
        """Raises NotImplementedError: a sheet has no text."""
        raise NotImplementedError

    def release(self, offset: int) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Closes the file."""
        self._book.close()
        self._file.close()


def _chosen(sheet: str | int | None, names: list[str]) -> str:
    if sheet is None:
        return names[0]
    if isinstance(sheet, int):
        if sheet <= len(names):
            return names[sheet - 1]
    elif sheet in names:
        return sheet
    listed = f"Its sheets are: {', '.join(names)}."
    raise SourceError("no_sheet", f"There is no sheet {sheet!r}. {listed}", near(str(sheet), names))


def _check_size(path: Path) -> None:
    if not is_zipfile(path):
        return  # the old format is not compressed
    try:
        with ZipFile(path) as archive:
            _BOUNDS.check(sum(each.file_size for each in archive.infolist()), path.stat().st_size)
    except (BadZipFile, ValueError, NotImplementedError) as error:
        raise SourceError("bad_excel", f"It is not a workbook that can be read: {error}.") from None
