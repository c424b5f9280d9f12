"""How one delimited file is written: the options, its header, and the columns they give."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.base import ROW, SourceError
from connectors.files.delimited.structure import Carry, places, structure
from connectors.files.streams import ByteStream, utf8_name
from ir.schema import Schema

BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = {b"\xff\xfe\x00\x00": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_HEADER_LIMIT = 1 << 20
_OPTIONS = ("delimiter", "header", "encoding", "quote", "nullValues", "compression")


@dataclass(frozen=True, slots=True)
class Dialect:
    """`quote` is None when quotes mean nothing; `null_values` are texts read as null besides the empty field."""

    delimiter: str = ","
    header: bool = True
    encoding: str = "utf-8"
    quote: str | None = '"'
    null_values: tuple[str, ...] = ()

    @property
    def quote_byte(self) -> int | None:
        """The quote as a byte."""
        return None if self.quote is None else ord(self.quote)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], *, delimiter: str) -> Dialect:
        """Reads `config.options`; raises SourceError(`bad_option`) for what cannot be."""
        for name in options:
            if name not in _OPTIONS:
                raise SourceError("bad_option", f"Unknown option '{name}'.", near(name, _OPTIONS))
        chosen = {"\\t": "\t", "tab": "\t"}.get(
            str(options.get("delimiter", delimiter)), options.get("delimiter", delimiter)
        )
        if not _is_byte(chosen) or chosen in "\r\n":
            raise SourceError("bad_option", f"options.delimiter must be one ASCII character, not {chosen!r}.")
        quote = options.get("quote", '"') or None
        if quote is not None and (not _is_byte(quote) or quote in "\r\n" or quote == chosen):
            raise SourceError("bad_option", f"options.quote must be one ASCII character, not {quote!r}.")
        nulls = options.get("nullValues") or ()
        nulls = (nulls,) if isinstance(nulls, str) else tuple(str(value) for value in nulls)
        encoding = str(options.get("encoding") or "utf-8")
        utf8_name(encoding)
        return cls(chosen, bool(options.get("header", True)), encoding, quote, nulls)


@dataclass(frozen=True, slots=True)
class Head:
    """The columns of a file in order, and the offset of its first data record."""

    names: tuple[str, ...]
    start: int


def read_head(stream: ByteStream, dialect: Dialect, declared: Schema, name: str) -> Head:
    """Reads BOM and header; raises SourceError when the file is empty, not text, or its header cannot be used."""
    block = stream.read_at(0, 1 << 16)
    skip = len(BOM) if block.startswith(BOM) else 0
    for mark, encoding in _OTHER_BOMS.items():
        if stream.seekable and block.startswith(mark):
            raise SourceError(
                "bad_encoding",
                f"{name} is not UTF-8: it starts with the mark of {encoding} (byte 0, row 0).",
                f"Set options.encoding to {encoding}.",
            )
    line, start = _first_record(stream, dialect, skip)
    if not line:
        raise SourceError("empty_file", f"{name} is empty.", "A CSV file needs at least a header line.")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise bad_encoding(name, skip + error.start, 0, line[error.start]) from None
    if stream.seekable and text.count("\0") > len(text) // 4:
        raise SourceError(
            "bad_encoding",
            f"{name} is not UTF-8: byte {skip + text.index(chr(0))} of row 0 is NUL.",
            "Set options.encoding (it looks like utf-16).",
        )
    quoting = {"quoting": csv.QUOTE_NONE} if dialect.quote is None else {"quotechar": dialect.quote}
    cells = next(csv.reader([text], delimiter=dialect.delimiter, **quoting))
    if not dialect.header:
        names = tuple(field.name for field in declared) or tuple(f"column_{n + 1}" for n in range(len(cells)))
        if len(names) != len(cells):
            raise SourceError(
                "columns_differ",
                f"{name} has {len(cells)} columns, but {len(names)} fields are declared.",
                "Without a header the declared fields name every column in order.",
            )
        return Head(names, skip)
    _check_names(cells, name)
    return Head(tuple(cells), start)


def check_declared(declared: Schema, names: Sequence[str], name: str) -> None:
    """Every declared field must be a column; raises SourceError(`missing_column`) with the nearest name."""
    for field in declared:
        if field.name not in names:
            raise SourceError(
                "missing_column",
                f"Column '{field.name}' is not in {name}. Its columns are: {', '.join(names)}.",
                near(field.name, names),
            )


def bad_encoding(name: str, offset: int, row: int, byte: int) -> SourceError:
    """The error for a file in another encoding than the options say."""
    return SourceError(
        "bad_encoding",
        f"{name} is not valid UTF-8: byte 0x{byte:02X} at offset {offset}, row {row}.",
        "Set options.encoding to the file's encoding, for example latin-1 or cp1252.",
    )


def near(name: str, names: Sequence[str]) -> str:
    """`Did you mean 'x'?`, or nothing when no name is near."""
    folded = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    return f"Did you mean '{folded[close[0]]}'?" if close else ""


def _is_byte(value: object) -> bool:
    return isinstance(value, str) and len(value) == 1 and ord(value) < 128


def _first_record(stream: ByteStream, dialect: Dialect, start: int) -> tuple[bytes, int]:
    """The first record that is not a blank line (without its newline), and where the next one starts."""
    length = 1 << 16
    while True:
        block = stream.read_at(start, length)
        if not block:
            return b"", start
        carry = Carry()
        shape = structure(block, dialect.quote_byte, carry)
        begin = 0
        for end in places(shape.ends, len(block))[:1000]:
            line = block[begin:end].removesuffix(b"\r")
            if line:
                return line, start + int(end) + 1
            begin = int(end) + 1
        if len(block) < length:
            if carry.parity:
                raise SourceError(
                    "unterminated_quote",
                    "The header line has a quote that is never closed (row 0).",
                    "Close it, or set options.quote to null if quotes mean nothing here.",
                )
            return block[begin:].removesuffix(b"\r"), start + len(block)
        if begin:
            start += begin
        elif length >= _HEADER_LIMIT:
            raise SourceError(
                "bad_header",
                f"The first line is longer than {_HEADER_LIMIT} bytes, or a quote in it is never closed.",
                "Check options.delimiter and options.quote.",
            )
        else:
            length *= 4


def _check_names(cells: list[str], name: str) -> None:
    if ROW in cells:
        raise SourceError("bad_header", f"Column name '{ROW}' in {name} is reserved.", "Rename the column.")
    for number, cell in enumerate(cells):
        if not cell.strip():
            raise SourceError(
                "bad_header",
                f"Column {number + 1} of {name} has an empty name.",
                "Name every column in the header line.",
            )
        if cell in cells[:number]:
            raise SourceError(
                "bad_header",
                f"Column name '{cell}' is in the header of {name} twice: "
                f"columns {cells.index(cell) + 1} and {number + 1}.",
                "Give every column its own name.",
            )
