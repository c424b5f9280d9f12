"""The dialect of a delimited file: its options, its header, and its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, get_args

import numpy as np

from headrace.connectors.column_names import Matching, canonical_name, match_names, nearest_name, visible
from headrace.connectors.errors import SourceError
from headrace.connectors.files.compression.kinds import compression_of
from headrace.connectors.files.delimited.encoding import byte_in_file, utf8_name
from headrace.connectors.files.delimited.numbers import DECIMALS, PLAIN_NUMBERS, THOUSANDS, NumberFormat
from headrace.connectors.files.delimited.records import find_records, record_chunks
from headrace.connectors.files.delimited.structure import NEWLINE, RETURN, Marks, bits_of, places, view
from headrace.connectors.files.delimited.text_filters import CommentFilter, EscapeFilter, TextFilter
from headrace.connectors.files.streams import ByteStream
from headrace.connectors.source import reserved
from headrace.ir.base import is_whole_number
from headrace.ir.schema import Schema

BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = {b"\xff\xfe\x00\x00": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_HEADER_BLOCK = 1 << 16
_OPTIONS = (
    "delimiter",
    "header",
    "encoding",
    "quote",
    "escape",
    "comment",
    "skipRows",
    "nullValues",
    "decimal",
    "thousands",
    "headerMatching",
    "missingColumns",
    "compression",
)
_MOST_SKIPPED = 10_000
_OTHER_DELIMITERS = ";\t|,"


@dataclass(frozen=True, slots=True)
class Dialect:
    """The options of a delimited file. `quote` is None if quotes have no meaning; `null_values` are texts read as null
    besides the empty field; `skip_rows` lines before the header are skipped; lines that begin with `comment` are
    ignored."""

    delimiter: str = ","
    header: bool = True
    encoding: str = "utf-8"
    quote: str | None = '"'
    null_values: tuple[str, ...] = ()
    eol: int = NEWLINE
    escape: str | None = None
    comment: str | None = None
    skip_rows: int = 0
    numbers: NumberFormat = PLAIN_NUMBERS
    matching: Matching = "caseInsensitive"

    @property
    def text_filters(self) -> list[TextFilter]:
        """The filters applied to the text of a file first."""
        escapes: list[TextFilter] = [] if self.escape is None else [EscapeFilter(self.escape, self.quote)]
        return escapes if self.comment is None else [*escapes, CommentFilter(self.comment, self.quote)]

    @property
    def quote_byte(self) -> int | None:
        """The quote as a byte, or None."""
        return None if self.quote is None else ord(self.quote)

    @property
    def marks(self) -> Marks:
        """The bytes that have a meaning."""
        return Marks(ord(self.delimiter), self.quote_byte, self.eol)

    def of_file(self, head: Header) -> Dialect:
        """The dialect of one file, with the line end that its header shows."""
        return self if head.eol == self.eol else replace(self, eol=head.eol)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], *, delimiter: str) -> Dialect:
        """Reads `config.options`. Raises SourceError(`bad_option`, `unknown_encoding`)."""
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
        if options.get("missingColumns") not in (None, "null", "fail"):
            given = options["missingColumns"]
            raise SourceError("bad_option", f"options.missingColumns must be 'null' or 'fail', not {given!r}.")
        encoding = str(options.get("encoding") or "utf-8")
        utf8_name(encoding)
        compression_of(options, "")
        return cls(
            chosen,
            bool(options.get("header", True)),
            encoding,
            quote,
            nulls,
            escape=_escape(options, quote, chosen),
            comment=_comment(options, quote, chosen),
            skip_rows=_skipped(options),
            numbers=_numbers(options),
            matching=_matching(options),
        )


def _escape(options: Mapping[str, Any], quote: str | None, delimiter: str) -> str | None:
    escape = options.get("escape") or None
    if escape is None or escape == quote:  # a quote escaped by itself is a doubled quote, the default
        return None
    if not _is_byte(escape) or escape in "\r\n" or escape == delimiter:
        raise SourceError("bad_option", f"options.escape must be one ASCII character, not {escape!r}.")
    return str(escape)


def _comment(options: Mapping[str, Any], quote: str | None, delimiter: str) -> str | None:
    comment = options.get("comment") or None
    if comment is None:
        return None
    if not isinstance(comment, str) or not comment.isascii() or len(comment) > 8 or {"\r", "\n"} & set(comment):
        raise SourceError("bad_option", f"options.comment must be a few ASCII characters, not {comment!r}.")
    if comment[0] in (quote, delimiter):
        raise SourceError("bad_option", f"options.comment must not begin like a field does: {comment!r}.")
    return comment


def _skipped(options: Mapping[str, Any]) -> int:
    rows = options.get("skipRows")
    if rows is None:
        return 0
    if not is_whole_number(rows) or not 0 <= rows <= _MOST_SKIPPED:
        raise SourceError("bad_option", f"options.skipRows must be from 0 to {_MOST_SKIPPED:,}, not {rows!r}.")
    return rows


def _numbers(options: Mapping[str, Any]) -> NumberFormat:
    decimal, thousands = options.get("decimal") or ".", options.get("thousands") or None
    if decimal not in DECIMALS:
        raise SourceError("bad_option", f"options.decimal must be . or , and not {decimal!r}.")
    if thousands is not None and (thousands not in THOUSANDS or thousands == decimal):
        known = " ".join(each for each in THOUSANDS if each not in (" ", decimal))
        raise SourceError("bad_option", f"options.thousands must be one of {known} or a blank, not {thousands!r}.")
    return NumberFormat(decimal, thousands)


def _matching(options: Mapping[str, Any]) -> Matching:
    given: Any = options.get("headerMatching") or "caseInsensitive"
    if given not in get_args(Matching):
        hint = near(str(given), get_args(Matching)) or f"Use one of {', '.join(get_args(Matching))}."
        raise SourceError("bad_option", f"Unknown options.headerMatching {given!r}.", hint)
    found: Matching = given
    return found


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a file in order, the offset of its first data record, and its line end. `notes` list which names
    of the header were changed."""

    names: tuple[str, ...]
    start: int
    eol: int = NEWLINE
    notes: tuple[str, ...] = ()


def read_header(stream: ByteStream, dialect: Dialect, declared: Schema, name: str) -> Header:
    """Reads BOM and header. Raises SourceError if the file is empty, is not text, or its header cannot be used."""
    block = stream.read_at(0, _HEADER_BLOCK)
    skip = len(BOM) if block.startswith(BOM) else 0
    for mark, encoding in _OTHER_BOMS.items():
        if not stream.transcoded and block.startswith(mark):
            raise SourceError(
                "bad_encoding",
                f"{name} is not UTF-8: it starts with the mark of {encoding} (byte 0, row 0).",
                f"Set options.encoding to {encoding}.",
            )
    eol = RETURN if b"\n" not in block and _ends_lines(block, dialect, RETURN) else NEWLINE
    dialect = replace(dialect, eol=eol)
    skip = offset_after_lines(stream, skip, dialect.skip_rows, eol)
    line, start = _first_record(stream, dialect, skip, name)
    if not line:
        raise SourceError("empty_file", f"{name} is empty.", "A CSV file needs at least a header line.")
    if not stream.transcoded and line.count(b"\0") > len(line) // 4:
        raise SourceError(
            "bad_encoding",
            f"{name} is not UTF-8: byte {skip + line.index(0)} of row 0 is NUL.",
            "Set options.encoding (it looks like utf-16).",
        )
    try:
        line.decode()
    except UnicodeDecodeError as error:
        if dialect.header or stream.transcoded:
            codec, byte = byte_in_file(line, error.start, dialect.encoding)
            raise bad_encoding(name, skip + error.start, 0 if dialect.header else 1, byte, codec) from None
    cells = _cells(line, dialect)
    if not dialect.header:
        names = tuple(field.name for field in declared) or tuple(f"column_{n + 1}" for n in range(len(cells)))
        if len(names) != len(cells):
            raise SourceError(
                "columns_differ",
                f"{name} has {len(cells)} columns, but {len(names)} fields are declared.",
                _other_delimiter(cells, dialect) or "Without a header the declared fields name every column in order.",
            )
        return Header(names, skip, eol)
    unique = unique_names(
        cells if dialect.matching == "exact" else [canonical_name(cell) for cell in cells], declared, name
    )
    found = match_names([field.name for field in declared], unique, dialect.matching)
    names = tuple({place: field for field, place in found.items()}.get(n, each) for n, each in enumerate(unique))
    changed = [f"'{visible(old)}' as '{new}'" for old, new in zip(cells, names, strict=True) if old != new]
    notes = (f"{name}: the header's {', '.join(changed)}",) if changed else ()
    return Header(names, start, eol, notes)


def missing_fields(declared: Schema, names: Sequence[str]) -> tuple[str, ...]:
    """The declared fields that are not among the columns."""
    there = frozenset(names)
    return tuple(field.name for field in declared if field.name not in there)


def check_declared(declared: Schema, names: Sequence[str], name: str) -> None:
    """Raises SourceError(`missing_column`) with the nearest name unless every declared field is a column."""
    for missing in missing_fields(declared, names):
        raise missing_column(missing, names, name)


def missing_column(missing: str, names: Sequence[str], name: str) -> SourceError:
    """The error for a column that a file lacks."""
    hint = near(missing, names)
    if not hint and len(names) == 1 and (other := next((d for d in _OTHER_DELIMITERS if d in names[0]), None)):
        hint = f"It looks as if its columns were separated by {other!r}: set options.delimiter."
    return SourceError(
        "missing_column", f"Column '{missing}' is not in {name}. Its columns are: {', '.join(names)}.", hint
    )


def bad_encoding(name: str, offset: int, row: int, byte: int, encoding: str = "UTF-8") -> SourceError:
    """The error for a file in another encoding than the options say."""
    return SourceError(
        "bad_encoding",
        f"{name} is not valid {encoding}: byte 0x{byte:02X} at offset {offset}, row {row}.",
        "Set options.encoding to the file's encoding, for example latin-1 or cp1252.",
    )


def near(name: str, names: Sequence[str]) -> str:
    """`Did you mean 'x'?` for the most similar name; empty if none is similar."""
    return nearest_name(name, names)


def _is_byte(value: object) -> bool:
    return isinstance(value, str) and len(value) == 1 and ord(value) < 128


def _ends_lines(block: bytes, dialect: Dialect, eol: int) -> bool:
    """Whether the byte ends a line of the block, outside of quotes."""
    return eol in block and bool(find_records(block, replace(dialect, eol=eol).marks, final=True).ends.any())


def _first_record(stream: ByteStream, dialect: Dialect, start: int, name: str) -> tuple[bytes, int]:
    """The first record that is not a blank line, without its line end, and the offset of the next one."""
    position = start
    for end_offset, chunk, known in record_chunks(stream, start, None, dialect.marks, _HEADER_BLOCK, keep=True):
        shape = known or find_records(chunk, dialect.marks, final=True)
        begin = 0
        for end in (*places(shape.ends, len(chunk)).tolist(), len(chunk)):
            line = chunk[begin:end]
            if dialect.eol == NEWLINE:
                line = line.removesuffix(b"\r")
            if line:
                if dialect.header and len(shape.unclosed) and begin <= shape.unclosed[0] < end:
                    raise SourceError(
                        "unterminated_quote",
                        f"The header line of {name} has a quote that is never closed (row 0).",
                        "Close it, or set options.quote to null if quotes mean nothing here.",
                    )
                return line, min(position + end + 1, end_offset)
            begin = end + 1
        position = end_offset
    return b"", position


def _cells(line: bytes, dialect: Dialect) -> list[str]:
    """The fields of one record."""
    shape = find_records(line, dialect.marks, final=True)
    separators = bits_of(view(line), ord(dialect.delimiter))
    if shape.inside is not None:
        separators &= ~shape.inside
    cuts = np.concatenate(([-1], places(separators, len(line)), [len(line)])).tolist()
    cells = [line[begin + 1 : end].decode("utf-8", "replace") for begin, end in pairwise(cuts)]
    quote = dialect.quote
    if quote is None:
        return cells
    quoted = [len(cell) > 1 and cell[0] == quote == cell[-1] for cell in cells]
    return [
        cell[1:-1].replace(quote * 2, quote) if within else cell for cell, within in zip(cells, quoted, strict=True)
    ]


def _other_delimiter(cells: Sequence[str], dialect: Dialect) -> str:
    """A hint if a record of one field contains another delimiter."""
    if len(cells) != 1:
        return ""
    found = next((other for other in _OTHER_DELIMITERS if other != dialect.delimiter and other in cells[0]), None)
    return f"It looks as if its columns were separated by {found!r}: set options.delimiter." if found else ""


def unique_names(cells: Sequence[str], declared: Schema, name: str) -> list[str]:
    """Unique names for the header's cells: a repeated name gets a number, an empty one its position. Raises
    SourceError(`bad_header`) if it is then unclear which column a declared field is."""
    unique: list[str] = []
    there = {cell for cell in cells if cell}
    wanted = {field.name for field in declared}
    for place, cell in enumerate(cells, 1):
        if reserved(cell):
            raise SourceError("bad_header", f"Column name '{cell}' in {name} is reserved.", "Rename the column.")
        column = cell or f"column_{place}"
        number = 2
        while column in unique or (column != cell and column in there):
            column, number = f"{cell or 'column'}_{number}", number + 1
        if cell and column != cell and cell in wanted and column not in wanted:
            raise SourceError(
                "bad_header",
                f"Column name '{cell}' is in the header of {name} twice: columns {cells.index(cell) + 1} and {place}.",
                f"Declare both, the second as '{column}', or give every column its own name.",
            )
        unique.append(column)
    return unique


def offset_after_lines(stream: ByteStream, start: int, lines: int, eol: int) -> int:
    """The offset after `lines` lines, whatever they contain."""
    position, mark = start, bytes((eol,))
    while lines and (block := stream.read_at(position, _HEADER_BLOCK)):
        end = block.find(mark)
        if end < 0:
            position += len(block)
            continue
        position += end + 1
        lines -= 1
    return position
